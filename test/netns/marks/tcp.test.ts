import t, { type Test } from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Family } from '../../../encap/encap.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { type Lab, type Node, UNDERLAY_DEVICE } from '../../../src/lab/topology.ts';
import {
  deployKernelVxlan,
  deployRipstop,
  type OverlayWish,
  podAddress,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * TCP with ECN between pods over an underlay with a queue that marks every fourth packet, in GSO packets and single segments. The
 * mark must reach the receiver, whose sender then hears of it. Ripstop on both ends, and facing the kernel's VXLAN.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'nft', 'ethtool');

type Carrier = 'ripstop' | 'kernel';
const ROUNDS: readonly {
  carriers: readonly [Carrier, Carrier];
  wish: OverlayWish & { mode: 'vxlan' | 'udp'; underlay: Family };
}[] = [
  { carriers: ['ripstop', 'ripstop'], wish: { mode: 'vxlan', underlay: 4 } },
  { carriers: ['ripstop', 'ripstop'], wish: { mode: 'udp', underlay: 6 } },
  { carriers: ['ripstop', 'kernel'], wish: { mode: 'vxlan', underlay: 6 } },
  { carriers: ['kernel', 'ripstop'], wish: { mode: 'vxlan', underlay: 4 } },
];

async function deploy(node: Node, peer: Node, carrier: Carrier, wish: OverlayWish): Promise<() => unknown> {
  if (carrier === 'kernel') return deployKernelVxlan(node, [peer], { ...wish, checksum: true });
  // A kernel peer on this host leaves inner checksums partial.
  const plane = await deployRipstop(node, [peer], { ...wish, acceptPartialChecksums: true });
  return () => plane.stop();
}

/** Counts of the marking queue at the underlay's device: packets that may be marked, and those that were. */
function markingQueue({ ns }: Node, underlay: Family) {
  const ip = underlay === 4 ? 'ip' : 'ip6';
  ns.must(
    ['nft', '-f', '-'],
    `table netdev marks {
      counter able { }
      counter marked { }
      chain ingress {
        type filter hook ingress device ${UNDERLAY_DEVICE} priority 0;
        ${ip} ecn ect0 counter name able
        ${ip} ecn ect0 numgen inc mod 4 0 counter name marked ${ip} ecn set ce
      }
    }`,
  );
  const count = (name: string) =>
    Number(/packets (\d+)/.exec(ns.must(['nft', 'list', 'counter', 'netdev', 'marks', name]))?.[1]);
  return {
    counts: () => ({ able: count('able'), marked: count('marked') }),
    remove: () => ns.must(['nft', 'delete', 'table', 'netdev', 'marks']),
  };
}

/** Packets with CE that a pod has received, by inner family, and segments that its peer confirmed as marked. */
function marksIn(ns: Namespace) {
  const pairs = ns.must(['cat', '/proc/net/netstat']).trim().split('\n');
  const value = (name: string): number => {
    for (let line = 0; line + 1 < pairs.length; line += 2) {
      const at = pairs[line]!.split(' ').indexOf(name);
      if (at > 0) return Number(pairs[line + 1]!.split(' ')[at]);
    }
    return 0;
  };
  const six = /^Ip6InCEPkts\s+(\d+)/m.exec(ns.must(['cat', '/proc/net/snmp6']));
  return { 4: value('InCEPkts'), 6: Number(six?.[1] ?? 0), delivered: value('TCPDeliveredCE') };
}

async function round(
  t: Pick<Test, 'ok' | 'equal' | 'not'>,
  lab: Lab,
  wish: OverlayWish & { underlay: Family },
  name: string,
) {
  const [one, two] = lab.nodes as [Node, Node];
  const [from, to] = [one.pods[0]!.ns, two.pods[0]!.ns];
  const queue = markingQueue(two, wish.underlay);
  for (const inner of [4, 6] as const) {
    const run = () => transfer({ from, to, address: podAddress(two, inner), bytes: 4_000_000 });
    for (const ns of [from, to]) ns.sysctl('net.ipv4.tcp_ecn=0');
    const before = queue.counts();
    t.ok((await run()).intact);
    t.equal(queue.counts().able, before.able, `${name}, IPv${inner}: without ECN nothing may be marked`);
    for (const ns of [from, to]) ns.sysctl('net.ipv4.tcp_ecn=1');
    const [received, confirmed] = [marksIn(to)[inner], marksIn(from).delivered];
    t.ok((await run()).intact, `${name}, IPv${inner}: intact`);
    const { able, marked } = queue.counts();
    t.ok(
      able > before.able && marked > before.marked,
      `${name}, IPv${inner}: ${marked} of ${able} packets are marked`,
    );
    t.ok(
      marksIn(to)[inner] >= received + marked - before.marked,
      `${name}, IPv${inner}: the pod receives every mark`,
    );
    t.ok(marksIn(from).delivered > confirmed, `${name}, IPv${inner}: its sender hears of it`);
  }
  queue.remove();
}

for (const { carriers, wish } of ROUNDS)
  t.test(
    `TCP with ECN from ${carriers.join(' to ')}, ${wish.mode} over IPv${wish.underlay}`,
    { skip },
    async t => {
      const lab = labFor(t);
      const [one, two] = lab.nodes as [Node, Node];
      const removals = [await deploy(one, two, carriers[0], wish)];
      t.teardown(() => Promise.all(removals.map(remove => remove())));
      removals.push(await deploy(two, one, carriers[1], wish));
      lab.podMtu(wish.underlay === 4 ? 1450 : 1430);
      await round(t, lab, wish, 'GSO packets');
      lab.condition('wirecs');
      await round(t, lab, wish, 'single segments');
    },
  );
