import t from 'tap';
import { tool } from '../../../bench/lab/tool.ts';
import type { Family } from '../../../encap/encap.ts';
import type { Peer } from '../../../src/dataplane/descriptor/peer.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  counted,
  DEVICE,
  deployRipstop,
  overlayFor,
  peerFor,
  pings,
  podAddress,
  verdicts,
  vtepMac,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Five nodes on one switch: what changes about one peer does not touch the traffic of the others. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping');
const SECONDS = 2;
/** Datagrams a second of one pair: twelve pairs share the cores of the machine that tests. */
const RATE = 250;
/** So many changes of the peers fall into the traffic. */
const CHANGES = 100;

const pairs = (nodes: readonly Node[]) =>
  nodes.flatMap(from => nodes.filter(to => to !== from).map(to => [from, to] as const));

/** Numbered datagrams from pod to pod. @returns what the receiver says */
async function stream(from: Node, to: Node, family: Family) {
  const address = podAddress(to, family);
  const receiver = to.pods[0]!.ns.launch([tool('packets'), 'receive', address, '0', '60']);
  const [, port] = await receiver.saying(/^listening (\d+)$/m);
  const words = [address, port!, '200', '2', `${RATE}`, `${SECONDS}`];
  const sender = from.pods[0]!.ns.launch([tool('packets'), 'send', ...words]);
  await sender.success();
  const { sent, received, reordered } = JSON.parse((await receiver.success()).split('\n')[1]!);
  return { sent, received, reordered } as { sent: number; received: number; reordered: number };
}

t.test('peers come, change and go while traffic of the others flows', { skip }, async t => {
  const lab = labFor(t, { nodes: 5 });
  const planes = await overlayFor(t, lab);
  const [one, ...others] = lab.nodes as [Node, ...Node[]];
  const specs = (node: Node) => lab.nodes.filter(peer => peer !== node).map(peer => peerFor(peer, {}));
  const streams = () =>
    pairs(others).map(async ([from, to], index) => {
      const result = await stream(from, to, index % 2 === 0 ? 4 : 6);
      return { pair: `node ${from.index} to ${to.index}`, ...result };
    });

  // Every few milliseconds some node is told of another set of peers; none of it is about nodes 2 to 5.
  let changes = 0;
  let over = false;
  const churn = (async () => {
    while (!over) {
      changes++;
      const far: Peer[] = Array.from({ length: changes % 40 }, (_, i) => ({
        id: `far${i}`,
        address: `172.31.7.${1 + i}`,
        mac: `0a:58:fb:00:${(changes & 255).toString(16).padStart(2, '0')}:${i.toString(16).padStart(2, '0')}`,
        subnets: [`10.245.${i}.0/24`, `fd00:10:245:${i.toString(16)}::/64`].map(requirePrefix),
      }));
      for (const [index, plane] of planes.entries()) {
        const node = lab.nodes[index]!;
        const own = specs(node).flatMap(spec => {
          if (spec.id !== 'node1') return [spec];
          if (changes % 3 === 0) return [];
          return changes % 3 === 1 ? [spec] : [{ ...spec, address: '172.31.7.99', mac: '0a:58:fc:00:00:99' }];
        });
        plane.setPeers(node === one ? own.slice(changes % 5) : [...own, ...far]);
      }
      await new Promise(resolve => setTimeout(resolve, 5));
    }
  })();
  const results = await Promise.all(streams());
  while (changes < CHANGES) results.push(...(await Promise.all(streams())));
  over = true;
  await churn;
  t.comment(`${changes} changes on each node in the meantime`);
  for (const { pair, sent, received, reordered } of results) {
    t.ok(sent > 0, `${pair}: ${sent} sent`);
    t.same({ received, reordered }, { received: sent, reordered: 0 }, `${pair}: all arrived, in order`);
  }
  t.comment(JSON.stringify(planes.map(verdicts)));

  // Node 1 moves: another MAC and another underlay address, as after a re-installation.
  await planes[0]!.stop();
  one.underlay = { 4: '172.31.0.111', 6: 'fd31::111' };
  one.ns.ip('addr add 172.31.0.111/24 dev eth0');
  const moved = { ...peerFor(one, {}), mac: '0a:58:fc:00:00:aa' };
  for (const [index, node] of others.entries()) {
    planes[index + 1]!.setPeers([...specs(node).filter(spec => spec.id !== 'node1'), moved]);
    for (const family of [4, 6] as const)
      node.ns.ip(`neigh replace ${one.tunnel[family]} lladdr ${moved.mac} dev ${DEVICE.vxlan} nud permanent`);
  }
  const again = await deployRipstop(one, others, { mac: moved.mac });
  t.teardown(() => again.stop());
  one.ns.ip(`link set ${DEVICE.vxlan} address ${moved.mac}`);
  for (const node of others) {
    for (const family of [4, 6] as const) {
      const answered = await pings(node.pods[0]!.ns, podAddress(one, family), { count: 2 });
      t.equal(answered, 2, `node ${node.index} reaches node 1 at its new place (IPv${family})`);
    }
  }

  // Node 5 forgets node 1: from then on that is a stranger to it, and the others are not touched.
  const [last, plane] = [others.at(-1)!, planes.at(-1)!];
  plane.setPeers(specs(last).filter(spec => spec.id !== 'node1'));
  await until('the tables without node 1', () => plane.counters().peers.node1 === undefined);
  const before = counted(plane, 'unknown-peer');
  t.equal(
    await pings(one.pods[0]!.ns, podAddress(last, 4), { wait: 1 }),
    0,
    'a peer that was removed is not listened to',
  );
  t.equal(counted(plane, 'unknown-peer') - before, 3, 'and counted as a stranger');
  t.equal(await pings(others[0]!.pods[0]!.ns, podAddress(last, 4)), 3);
  t.not(vtepMac(one), moved.mac);
});
