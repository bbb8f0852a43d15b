import t from 'tap';
import { ping } from '../../../bench/lab/measure.ts';
import { tool } from '../../../bench/lab/tool.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import {
  counted,
  DEVICE,
  deployKernelVxlan,
  deployRipstop,
  overlayMtu,
  peerFor,
  pings,
  podAddress,
  verdicts,
  vtepMac,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { captureFrames, dissect } from '../../fixtures/traffic/capture-frames.ts';

/* The frames on the wire between Ripstop (node 1) and the kernel's vxlan device (node 2), as tshark reads it. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'ethtool', 'tcpdump', 'tshark');
const VXLAN_PORT = ['-d', 'udp.port==8472,vxlan'];
const VERIFY = ['ip', 'udp', 'tcp'].flatMap(layer => ['-o', `${layer}.check_checksum:TRUE`]);

function exchange(lab: Lab) {
  const pods = lab.nodes.map(node => ({ ns: node.pods[0]!.ns, node }));
  const both = ([4, 6] as const).flatMap(family => [
    { from: pods[0]!.ns, to: pods[1]!.ns, address: podAddress(pods[1]!.node, family) },
    { from: pods[1]!.ns, to: pods[0]!.ns, address: podAddress(pods[0]!.node, family) },
  ]);
  return both;
}

for (const underlay of [4, 6] as const) {
  t.test(`tshark finds nothing wrong, underlay IPv${underlay}`, { skip }, async t => {
    const lab = labFor(t);
    const [ours, kernels] = lab.nodes as [Node, Node];
    lab.condition('wirecs');
    const plane = await deployRipstop(ours, [kernels], { underlay });
    t.teardown(() => plane.stop());
    deployKernelVxlan(kernels, [ours], { underlay, checksum: true });
    lab.podMtu(overlayMtu('vxlan', underlay));
    const file = await captureFrames(
      ours.ns,
      'eth0',
      { filter: 'udp port 8472', direction: 'out', complete: false },
      async () => {
        for (const route of exchange(lab)) {
          await ping(route, 2);
          t.ok((await transfer({ ...route, bytes: 3_000_000 })).intact);
        }
      },
    );
    const fields = [
      '_ws.malformed',
      'ip.flags.df',
      'udp.srcport',
      'udp.dstport',
      'vxlan.flags',
      'vxlan.vni',
      'ip.checksum.status',
      'udp.checksum.status',
      'tcp.checksum.status',
      'frame.len',
      'ip.dsfield',
    ];
    const packets = dissect(file, fields, { more: [...VXLAN_PORT, ...VERIFY] });
    t.ok(packets.length > 3000, `${packets.length} datagrams`);
    const values = (field: string) => [...new Set(packets.map(packet => packet[fields.indexOf(field)]!))];
    t.same(values('_ws.malformed'), [''], 'nothing malformed');
    t.same(values('vxlan.flags'), ['0x0800'], 'the I flag alone');
    t.same(values('vxlan.vni'), ['1']);
    for (const layer of ['ip', 'udp', 'tcp'])
      t.notMatch(
        values(`${layer}.checksum.status`).join(' '),
        /[02]/,
        `every ${layer} checksum is there and good`,
      );
    t.ok(
      values('udp.dstport').every(ports => ports.split(',')[0] === '8472'),
      'outer destination port',
    );
    const sources = values('udp.srcport').map(ports => Number(ports.split(',')[0]));
    t.ok(
      sources.every(port => port >= 49152),
      `outer source ports within 49152..65535: ${sources}`,
    );
    if (underlay === 4)
      t.ok(
        values('ip.flags.df').every(flags => /^(1|True)/.test(flags)),
        'outer DF is set',
      );
    t.ok(
      packets.every(packet => Number(packet[fields.indexOf('frame.len')]) <= 1514),
      'no datagram above the MTU',
    );
    t.equal(counted(plane, 'bad-checksum'), 0);
  });
}

t.test('the outer source port tells inner flows apart', { skip }, async t => {
  const lab = labFor(t);
  const [ours, kernels] = lab.nodes as [Node, Node];
  lab.condition('wire');
  const plane = await deployRipstop(ours, [kernels], {});
  t.teardown(() => plane.stop());
  deployKernelVxlan(kernels, [ours], { checksum: true });
  for (const inner of [4, 6] as const) {
    const [pod, server] = [ours.pods[0]!, kernels.pods[0]!];
    const address = server.address[inner];
    const receiver = server.ns.launch([tool('packets'), 'receive', address, '0', '60']);
    const [, port] = await receiver.saying(/^listening (\d+)$/m);
    const file = await captureFrames(ours.ns, 'eth0', { filter: 'udp dst port 8472', direction: 'out' }, () =>
      pod.ns.launch([tool('packets'), 'send', address, port!, '100', '32', '3200', '1']).success(),
    );
    const { sent, received, reordered } = JSON.parse((await receiver.success()).split('\n')[1]!);
    t.same([received, reordered], [sent, 0], 'all arrived in order');
    const flows = new Map<string, Set<string>>();
    const rows = dissect(file, ['udp.srcport', 'udp.dstport'], { more: VXLAN_PORT });
    for (const [sources, destinations] of rows) {
      const [outer, flow] = sources!.split(',');
      if (destinations!.split(',')[1] !== port) continue;
      flows.set(flow!, (flows.get(flow!) ?? new Set()).add(outer!));
    }
    t.equal(flows.size, 32, 'all inner flows are seen');
    t.ok(
      [...flows.values()].every(ports => ports.size === 1),
      'a flow keeps its outer source port',
    );
    const ports = new Set([...flows.values()].flatMap(set => [...set]));
    // 32 flows over 16 ports leave 14 in use on average; six or fewer happen once in 10^9 runs of a fair hash.
    t.ok(ports.size > 6, `inner IPv${inner}: 32 flows spread over ${ports.size} ports`);
  }
});

t.test('any network identifier and port, the peer on another than ours', { skip }, async t => {
  const lab = labFor(t);
  const [ours, kernels] = lab.nodes as [Node, Node];
  lab.podMtu(overlayMtu('vxlan', 4));
  for (const vni of [0, 0x123456, 0xffffff]) {
    const plane = await deployRipstop(ours, [kernels], { vni, port: 4789 });
    plane.setPeers([{ ...peerFor(kernels, {}), port: 14789 }]);
    const remove = deployKernelVxlan(kernels, [ours], { checksum: true, vni, port: 14789 });
    // The kernel sends to its own port unless the forwarding entry names another.
    const fdb = ['bridge', 'fdb', 'replace', vtepMac(ours), 'dev', DEVICE.vxlan, 'dst', ours.underlay[4]];
    kernels.ns.must([...fdb, 'port', '4789', 'self', 'permanent']);
    for (const family of [4, 6] as const)
      t.equal(
        await pings(ours.pods[0]!.ns, podAddress(kernels, family), { count: 2 }),
        2,
        `VNI ${vni}, IPv${family}`,
      );
    remove();
    await plane.stop();
  }
});

t.test('partial checksums of a kernel peer: refused by default', { skip }, async t => {
  const lab = labFor(t);
  const [ours, kernels] = lab.nodes as [Node, Node];
  lab.condition('wire'); // tx checksum offload on: the peer leaves inner checksums to a device that never comes
  const plane = await deployRipstop(ours, [kernels], { acceptPartialChecksums: false });
  t.teardown(() => plane.stop());
  deployKernelVxlan(kernels, [ours], { checksum: true });
  lab.podMtu(overlayMtu('vxlan', 4));
  const [pod, sender] = [ours.pods[0]!, kernels.pods[0]!];
  const address = pod.address[4];
  const receiver = pod.ns.launch([tool('packets'), 'receive', address, '0', '2']);
  const [, port] = await receiver.saying(/^listening (\d+)$/m);
  const words = ['send', address, port!, '200', '1', '500', '1'];
  const { sent } = JSON.parse(await sender.ns.launch([tool('packets'), ...words]).success());
  const { received } = JSON.parse((await receiver.success()).split('\n')[1]!);
  t.equal(received, 0, 'no datagram with a partial checksum reached the pod');
  const refused = counted(plane, 'bad-checksum');
  t.ok(sent > 0 && refused >= sent, `each of ${sent} is counted: ${JSON.stringify(verdicts(plane))}`);
  const ends = { from: sender.ns, to: pod.ns, address };
  await t.rejects(transfer({ ...ends, bytes: 1_000_000, timeoutMs: 1_500 }), 'nor does TCP come through');
  t.ok(counted(plane, 'bad-checksum') > refused, 'its SYNs are counted too');
  const answered = await ping({ from: sender.ns, to: pod.ns, address }, 3);
  t.equal(answered.received, 3, 'while what needs no offload passes');
});
