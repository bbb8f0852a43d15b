import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Family } from '../../../encap/encap.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { overlayFor, pings, podAddress } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Five nodes on one switch, each a peer of all others. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping');
const pairs = (nodes: readonly Node[]) =>
  nodes.flatMap(from => nodes.filter(to => to !== from).map(to => [from, to] as const));

/** Of three pings. ping gives up on an answer that is late, as on a busy machine: then it asks once more. */
async function answers(from: Node, to: Node, inner: Family): Promise<number> {
  const ask = () => pings(from.pods[0]!.ns, podAddress(to, inner));
  const first = await ask();
  return first === 3 ? first : ask();
}

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: a full mesh of five, traffic on all twenty pairs`, { skip }, async t => {
    const lab = labFor(t, { nodes: 5 });
    const planes = await overlayFor(t, lab, { mode, underlay: mode === 'vxlan' ? 4 : 6 });
    for (const inner of [4, 6] as const) {
      const answering = pairs(lab.nodes).map(([from, to]) => answers(from, to, inner));
      const answered = await Promise.all(answering);
      t.same(answered, Array(20).fill(3), `IPv${inner}: every ping of every pair is answered`);
    }
    const moved = await Promise.all(
      pairs(lab.nodes).map(([from, to], index) =>
        transfer({
          from: from.pods[0]!.ns,
          to: to.pods[0]!.ns,
          address: podAddress(to, index % 2 === 0 ? 4 : 6),
          bytes: 2_000_000,
          seed: index,
        }),
      ),
    );
    t.same(
      moved.map(({ intact }) => intact),
      Array(20).fill(true),
      'twenty transfers at once, by hash',
    );
    for (const [index, plane] of planes.entries()) {
      const { peers } = plane.counters();
      t.equal(Object.keys(peers).length, 4);
      for (const [id, { egress, ingress }] of Object.entries(peers))
        t.ok(egress.frames > 0 && ingress.frames > 0, `node ${index + 1} and ${id} counted each other`);
    }
  });
}
