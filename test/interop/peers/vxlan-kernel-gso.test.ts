import t from 'tap';
import { mtuTowardsPods } from '../../../src/agent/overlay/pod-mtu.ts';
import { until } from '../../../src/lab/until.ts';
import { NetlinkSocket } from '../../../src/net/rtnetlink/socket.ts';
import {
  deployKernelVxlan,
  deployRipstop,
  overlayMtu,
  podAddress,
  verdicts,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * GSO packets of pods behind a kernel VXLAN: over a veth they arrive whole, and must reach the pods here as the sender meant
 * them.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'python3');

/** Counts datagrams of one size for a while, and prints how many came. */
const RECEIVE = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.bind((sys.argv[1], 7000))
s.settimeout(120)
count = 0
while count < int(sys.argv[2]):
    data = s.recv(65535)
    if len(data) == 1200: count += 1
print(count)
`;
const SEND = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1200)
for _ in range(int(sys.argv[2])): s.sendto(b'x' * 1200 * int(sys.argv[3]), (sys.argv[1], 7000))
`;
const ACCEPT = `
import socket
s = socket.create_server(('', 7001))
c, _ = s.accept()
count = 0
while True:
    data = c.recv(1 << 20)
    if not data: break
    count += len(data)
print(count)
`;
const CONNECT = `
import socket, sys
s = socket.create_connection((sys.argv[1], 7001), 120)
s.sendall(b'x' * int(sys.argv[2]))
s.close()
`;

t.test('UDP_SEGMENT and TCP of pods behind a kernel VXLAN arrive over a veth underlay', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes;
  lab.podMtu(overlayMtu('vxlan', 4));
  deployKernelVxlan(two!, [one!]);
  const plane = await deployRipstop(one!, [two!], { acceptPartialChecksums: true });
  t.teardown(() => plane.stop());
  const [here, there] = [one!.pods[0]!.ns, two!.pods[0]!.ns];

  for (const family of [4, 6] as const)
    for (const segments of [2, 10])
      await t.test(`UDP_SEGMENT over IPv${family}, ${segments} segments (J5)`, async t => {
        const to = podAddress(one!, family);
        const wanted = 20 * segments;
        const receiver = here.launch(['python3', '-c', RECEIVE, to, `${wanted}`]);
        await until('the receiver', () => here.must(['ss', '-Hlun', 'sport', '=', ':7000']) !== '');
        there.must(['python3', '-c', SEND, to, '20', `${segments}`]);
        t.equal((await receiver.success()).trim(), `${wanted}`);
        const { oversized, 'bad-flags': flags, 'inner-malformed': malformed } = verdicts(plane);
        t.same([oversized, flags, malformed], [undefined, undefined, undefined]);
      });

  await t.test('TCP where the bridge is smaller than the device (J6)', async t => {
    one!.ns.ip('link set cni0 mtu 1400');
    here.ip('link set eth0 mtu 1400');
    const socket = new NetlinkSocket({ netns: one!.ns.path });
    t.teardown(() => socket.close());
    const plan = { subnets: [one!.subnet[4]], device: 'flannel.1', mtu: 1450 };
    t.equal(mtuTowardsPods(socket, plan as unknown as Parameters<typeof mtuTowardsPods>[1]), 1400);
    plane.segmentMtu = 1400;
    const receiver = here.launch(['python3', '-c', ACCEPT]);
    await until('the receiver', () => here.must(['ss', '-Hltn', 'sport', '=', ':7001']) !== '');
    there.must(['python3', '-c', CONNECT, podAddress(one!, 4), '20000000']);
    t.equal((await receiver.success()).trim(), '20000000');
  });
});
