import t from 'tap';
import { FORMATS } from '../../../encap/formats.ts';
import type { TraceArrival } from '../../../src/diagnose/trace/answer.ts';
import { datagramOf } from '../../../src/diagnose/trace/datagram.ts';
import { decapsulate } from '../../../src/diagnose/trace/decapsulation.ts';
import type { KernelLookup } from '../../../src/diagnose/trace/kernel/kernel-lookup.ts';
import type { TraceNode } from '../../../src/diagnose/trace/node.ts';
import { buildPacket, frameOf } from '../../../src/diagnose/trace/packet.ts';
import { TraceRecorder } from '../../../src/diagnose/trace/recorder.ts';
import type { Link } from '../../../src/net/rtnetlink/links.ts';

const [HERE, THERE] = ['02:00:00:00:00:02', '02:00:00:00:00:01'];
const PACKET = buildPacket({
  ...{ source: '10.244.1.2', destination: '10.244.2.2', protocol: 'tcp', size: 40 },
  ...{ sourcePort: 40_000, destinationPort: 80 },
});

/** A datagram for this node, and what its kernel VXLAN has that the sender may not have. */
function arrive(
  sent: { vni?: number; mac?: string; remoteChecksum?: boolean } & Partial<TraceArrival>,
  has: { port?: number; gbp?: boolean; receives?: boolean } = {},
) {
  const { vni = 1, mac = HERE, remoteChecksum = false, ...more } = sent;
  const frame = frameOf(PACKET, THERE, mac);
  const payload = datagramOf(PACKET, frame, { header: FORMATS.vxlan.header(vni), remoteChecksum });
  const { port = 8472, gbp = false, receives = false } = has;
  const vxlan = { vni: 1, port, gbp, remoteChecksum: { sends: false, receives } };
  const device = { name: 'flannel.1', mac: HERE, details: { vxlan } } as Link;
  const overlay = { device: 'flannel.1', address: '192.0.2.2', port: 8472, plane: undefined };
  const node = { name: 'node2', overlays: [overlay] } as unknown as TraceNode;
  const trace = new TraceRecorder(node, { link: () => device } as unknown as KernelLookup, PACKET);
  const arrival = {
    ...{ from: '192.0.2.1', to: '192.0.2.2', port: 8472, groupPolicy: false, ...more },
    payload: Buffer.from(payload).toString('base64'),
  };
  const result = decapsulate(trace, arrival);
  return 'outcome' in result ? result : trace.end('delivered', 'delivered');
}

t.test('a kernel VXLAN at the far end: each option that only the sender has is found', async t => {
  t.match(arrive({}), { outcome: 'delivered' });
  t.match(arrive({ port: null }), { outcome: 'delivered' }, 'a sender that names no port');
  t.match(arrive({ port: 4789 }), { outcome: 'dropped', verdict: /UDP port 4789, .* receives on port 8472/ });
  t.match(arrive({}, { port: 4789 }), { outcome: 'dropped', verdict: /flannel\.1 receives on port 4789/ });
  t.match(arrive({ vni: 2 }), { outcome: 'dropped', verdict: /another VXLAN network identifier/ });
  t.match(arrive({ mac: THERE }), { outcome: 'dropped', verdict: /is for the MAC 02:00:00:00:00:01/ });
  t.match(arrive({ to: '192.0.2.9' }), { outcome: 'dropped', verdict: /no tunnel of this node/ });
  t.match(arrive({ remoteChecksum: true }), { outcome: 'dropped', verdict: /flag of remote checksum/ });
  t.match(arrive({ remoteChecksum: true }, { receives: true }), { outcome: 'delivered' });
});

t.test('GBP at one end: only packets with a mark are lost, which a trace cannot know', async t => {
  t.match(arrive({ groupPolicy: true }), {
    outcome: 'unknown',
    verdict: /^not known: the sender has GBP on .*if the packet has a mark, the kernel drops it/,
  });
  t.match(arrive({ groupPolicy: true }, { gbp: true }), { outcome: 'delivered' });
});
