import type { Test } from 'tap';
import type { Family, Lab, Node } from '../../../bench/lab/topology.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Mode } from '../../../encap/encap.ts';
import type { DataPlane } from '../../../src/dataplane/dataplane.ts';
import { ALL_OFFLOADS, type OffloadSwitches } from '../../../src/dataplane/io/offloads.ts';
import { overlayFor, podAddress } from '../agents/overlay.ts';
import { labFor } from '../lab.ts';

/* Whatever is switched off, the same bytes arrive: 64 MB each way at once, by hash, for every switch, mode and family. */

const BYTES = 64_000_000;
const SWITCHES = Object.keys(ALL_OFFLOADS) as (keyof OffloadSwitches)[];
const NONE = Object.fromEntries(SWITCHES.map(name => [name, false])) as unknown as OffloadSwitches;

/** Both directions at once. @returns what was not intact */
export async function exchange({ nodes }: Lab, inner: Family): Promise<string[]> {
  const [one, two] = nodes as [Node, Node];
  const moves = [
    [one, two],
    [two, one],
  ] as [Node, Node][];
  const results = await Promise.all(
    moves.map(([from, to]) =>
      transfer({
        from: from.pods[0]!.ns,
        to: to.pods[0]!.ns,
        address: podAddress(to, inner),
        bytes: BYTES,
        seed: from.index,
      }),
    ),
  );
  return results.flatMap(({ intact }, i) => (intact ? [] : [`from node ${i + 1}`]));
}

export const stop = (planes: readonly DataPlane[]) => Promise.all(planes.map(plane => plane.stop()));

/** Each switch off by itself, then all. */
export async function offloadsOff(t: Test, mode: Mode): Promise<void> {
  const lab = labFor(t);
  const variants: [string, OffloadSwitches][] = [
    ...SWITCHES.map(
      name => [`without ${name}`, { ...ALL_OFFLOADS, [name]: false }] as [string, OffloadSwitches],
    ),
    ['without any', NONE],
  ];
  for (const underlay of [4, 6] as const) {
    for (const [name, offloads] of variants) {
      const planes = await overlayFor(t, lab, { mode, underlay, offloads });
      const off = SWITCHES.filter(key => !offloads[key]);
      for (const key of off)
        t.match(planes[0]!.offloads[key], /^off by configuration$|^needs /, `${name}: ${key}`);
      for (const inner of [4, 6] as const)
        t.same(await exchange(lab, inner), [], `${name}, inner IPv${inner}, underlay IPv${underlay}`);
      if (name === 'without any') {
        const { egress, ingress } = planes[0]!.counters();
        t.same([egress.coalesced, ingress.coalesced], [0, 0], 'each packet travelled alone');
      }
      await stop(planes);
    }
  }
}
