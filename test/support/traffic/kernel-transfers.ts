import type { Test } from 'tap';
import type { Condition, Family, Lab } from '../../../bench/lab/topology.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import {
  counted,
  deployKernelVxlan,
  deployRipstop,
  overlayMtu,
  podAddress,
  verdicts,
} from '../agents/overlay.ts';
import { labFor } from '../lab.ts';

/*
 * Ripstop on node 1, the kernel's vxlan device in flannel's layout on node 2, a pod behind each. Eight set-ups: family
 * of the underlay, outer checksum of the kernel's datagrams, underlay that finishes inner checksums or not. In each, four
 * transfers by hash: inner family and direction. One of the four is 1 GB, in turn, so that every value of every
 * dimension meets 1 GB at least twice; the rest is 256 MB.
 */

/** `def`: the kernel peer sends whole GSO packets and partial checksums. `wirecs`: what a plain NIC does. */
const UNDERLAYS = [
  { condition: 'def', acceptPartialChecksums: true },
  { condition: 'wirecs', acceptPartialChecksums: false },
] as const;
const LARGE = 1_000_000_000;
const SMALL = 256_000_000;

interface Leg {
  inner: Family;
  out: boolean;
}
const LEGS: Leg[] = [4, 6].flatMap(inner => [true, false].map(out => ({ inner: inner as Family, out })));

function move(lab: Lab, { inner, out }: Leg, bytes: number, seed: number) {
  const [ours, kernels] = lab.nodes;
  const [from, to] = out ? [ours!, kernels!] : [kernels!, ours!];
  return transfer({
    from: from.pods[0]!.ns,
    to: to.pods[0]!.ns,
    address: podAddress(to, inner),
    bytes,
    seed,
    timeoutMs: 60_000,
  });
}

/** The four set-ups over one family of the underlay. */
export async function transfersWithKernel(t: Test, underlay: Family): Promise<void> {
  const lab = labFor(t);
  const [ours, kernels] = lab.nodes;
  let setup = underlay === 4 ? 0 : 4;
  for (const checksum of [true, false]) {
    for (const { condition, acceptPartialChecksums } of UNDERLAYS) {
      lab.condition(condition as Condition);
      const plane = await deployRipstop(ours!, [kernels!], { underlay, acceptPartialChecksums });
      const remove = deployKernelVxlan(kernels!, [ours!], { underlay, checksum });
      lab.podMtu(overlayMtu('vxlan', underlay));
      const name = `underlay IPv${underlay} ${condition}, outer checksum ${checksum ? 'on' : 'zero'}`;
      await t.test(name, async t => {
        for (const [number, leg] of LEGS.entries()) {
          const bytes = number === (setup + (setup >> 2)) % 4 ? LARGE : SMALL;
          const title = `inner IPv${leg.inner} ${leg.out ? 'to' : 'from'} the kernel, ${bytes / 1e6} MB`;
          const { intact, seconds, sent } = await move(lab, leg, bytes, 1 + setup * 4 + number);
          t.ok(intact, `${title} (${((bytes * 8e-9) / seconds).toFixed(1)} Gbit/s, ${sent.slice(0, 8)})`);
        }
        t.equal(counted(plane, 'bad-checksum'), 0);
        t.comment(JSON.stringify(verdicts(plane)));
      });
      setup++;
      remove();
      await plane.stop();
    }
  }
}
