import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Family, Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { innerMtu } from '../../../encap/mtu.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { counted, overlayFor, overlayMtu, peerFor, podAddress } from '../../fixtures/agents/overlay.ts';
import { routedLabFor } from '../../fixtures/agents/routed.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* The underlay path shrinks while traffic flows: the pods are told, as by a router, and nothing hangs. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping');
/** Bytes of IP and ICMP header around a ping's payload. */
const HEADERS = { 4: 28, 6: 48 } as const;
const NARROW = 1400;

/** One ping of `bytes` of IP from the pod on node 1 to that on node 2. */
function probe([from, to]: readonly [Node, Node], family: Family, bytes: number, fragment: 'do' | 'dont') {
  const size = `${bytes - HEADERS[family]}`;
  const argv = ['ping', '-n', '-c', '1', '-W', '1', '-M', fragment, '-s', size, podAddress(to, family)];
  return from.pods[0]!.ns.attempt(argv);
}

/** Bytes that have left a node over its underlay. */
const carriedBytes = (node: Node) => Number(node.ns.must(['cat', '/sys/class/net/eth0/statistics/tx_bytes']));

const CASES: [Mode, Family][] = [
  ['vxlan', 4],
  ['vxlan', 6],
  ['udp', 4],
  ['udp', 6],
];
for (const [mode, underlay] of CASES) {
  t.test(`${mode}, underlay IPv${underlay}: the path shrinks to ${NARROW}`, { skip }, async t => {
    const lab = routedLabFor(t);
    const [plane, behind] = await overlayFor(t, lab, { mode, underlay });
    const nodes = lab.nodes as [Node, Node];
    const [one, two] = nodes;
    const wide = overlayMtu(mode, underlay);
    const narrow = innerMtu(FORMATS[mode], underlay, NARROW);
    const move = (from: Node, to: Node, inner: Family, bytes: number) =>
      transfer({ from: from.pods[0]!.ns, to: to.pods[0]!.ns, address: podAddress(to, inner), bytes });
    for (const inner of [4, 6] as const)
      t.equal(probe(nodes, inner, wide, 'do').code, 0, `IPv${inner}: ${wide} bytes pass before`);

    const running = move(one, two, 4, 100_000_000);
    await until('the transfer to be under way', () => carriedBytes(one) > 2_000_000);
    lab.shrink(NARROW);
    t.ok((await running).intact, 'a TCP transfer under way goes on and ends intact');
    for (const inner of [4, 6] as const) {
      t.ok(
        (await move(one, two, inner, 10_000_000)).intact,
        `IPv${inner}: a new one, towards the narrow link`,
      );
      t.ok((await move(two, one, inner, 10_000_000)).intact, `IPv${inner}: and from it`);
    }

    for (const ends of [
      [one, two],
      [two, one],
    ] as const) {
      for (const inner of [4, 6] as const) {
        const pod = ends[0].pods[0]!.ns;
        for (const family of ['-4', '-6']) pod.must(['ip', family, 'route', 'flush', 'cache']);
        const gateway = ends[0].gateway[inner];
        const told = await until('ICMP to the pod', () => {
          const { stdout } = probe(ends, inner, wide, 'do');
          return stdout.includes('From ') ? stdout : undefined;
        });
        const reason =
          inner === 4 ? `Frag needed and DF set (mtu = ${narrow})` : `Packet too big: mtu=${narrow}`;
        t.match(told, `From ${gateway} icmp_seq=1 ${reason}`, `IPv${inner}: told by its gateway`);
        const route = pod.must(['ip', 'route', 'get', podAddress(ends[1], inner)]);
        t.match(route, `mtu ${narrow}`, `IPv${inner}: the pod's route knows`);
        t.equal(probe(ends, inner, narrow, 'do').code, 0, `IPv${inner}: ${narrow} bytes pass`);
      }
    }
    t.equal(plane!.counters().loweredPaths, 1, 'one path is known to be lower');
    t.equal(behind!.counters().loweredPaths, 1, 'on both sides');

    const before = counted(plane!, 'too-big');
    t.equal(probe(nodes, 4, wide, 'dont').code, 0, 'IPv4 without DF travels in outer fragments');
    t.equal(counted(plane!, 'too-big'), before, 'and is not counted as too big');
  });
}

t.test('a path too narrow for IPv6 still carries its minimum', { skip }, async t => {
  const lab = routedLabFor(t);
  await overlayFor(t, lab, { mode: 'vxlan', underlay: 4 });
  const nodes = lab.nodes as [Node, Node];
  lab.shrink(1300); // 1250 for inner packets
  const passes = () => probe(nodes, 6, 1280, 'dont').code === 0;
  t.ok(await until('1280 bytes of IPv6 to pass in outer fragments', passes));
  const [from, to] = [nodes[0].pods[0]!, nodes[1].pods[0]!];
  const result = await transfer({ from: from.ns, to: to.ns, address: to.address[6], bytes: 5_000_000 });
  t.ok(result.intact, `and TCP over it (${result.seconds.toFixed(2)} s)`);
});

t.test('a peer that moves leaves its narrow path behind', { skip }, async t => {
  const lab = routedLabFor(t);
  const [plane] = await overlayFor(t, lab);
  const nodes = lab.nodes as [Node, Node];
  lab.shrink(NARROW);
  await until('the path to be known', () => {
    probe(nodes, 4, overlayMtu('vxlan', 4), 'do');
    return plane!.counters().loweredPaths === 1;
  });
  lab.shrink(1500);
  nodes[1].ns.ip('addr add 172.31.2.50/24 dev eth0');
  plane!.setPeers([peerFor(nodes[1], {})]);
  t.equal(plane!.counters().loweredPaths, 1, 'the same place: what was learnt stays');
  plane!.setPeers([{ ...peerFor(nodes[1], {}), address: '172.31.2.50' }]);
  t.equal(plane!.counters().loweredPaths, 0, 'another place: nothing is known of its path');
});
