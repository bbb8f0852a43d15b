import type { Family } from '../../ip/address.ts';
import { contains, overlaps, type Prefix, sizeOf } from '../../ip/prefix.ts';
import type { SubnetRange } from '../config/ranges.ts';
import type { Subnets } from './lease.ts';

/** Whole number within 0..bound-1, every one as likely. */
export type Random = (bound: number) => number;

/** Free subnets that a random choice is made among; flannel's figure, which keeps races rare. */
const CANDIDATES = 100;

export interface Ranges {
  readonly range4: SubnetRange | undefined;
  readonly range6: SubnetRange | undefined;
}

/**
 * Picks the subnets of a node among those that no node holds: `previous` when it is still right and free, each
 * half by itself, otherwise one at random among the first free ones.
 * @param taken what other nodes hold; reservations of others count as held
 * @returns undefined when a family has no free subnet left; `full` names it
 */
export function pickSubnets(
  ranges: Ranges,
  taken: readonly Subnets[],
  previous: Subnets | undefined,
  random: Random,
): Subnets | { full: Family } {
  const v4 = ranges.range4 && pickOne(4, ranges.range4, halves(taken, 'v4'), previous?.v4, random);
  if (ranges.range4 && !v4) return { full: 4 };
  const v6 = ranges.range6 && pickOne(6, ranges.range6, halves(taken, 'v6'), previous?.v6, random);
  if (ranges.range6 && !v6) return { full: 6 };
  return { v4, v6 };
}

/** True when a held lease is what the configuration would hand out today; both families must agree. */
export function isWithinRanges(ranges: Ranges, held: Subnets): boolean {
  return fitsOne(ranges.range4, held.v4) && fitsOne(ranges.range6, held.v6);
}

/** True when any half of two leases shares an address. */
export function subnetsOverlap(a: Subnets, b: Subnets): boolean {
  return (
    (a.v4 !== undefined && b.v4 !== undefined && overlaps(a.v4, b.v4)) ||
    (a.v6 !== undefined && b.v6 !== undefined && overlaps(a.v6, b.v6))
  );
}

function fitsOne(range: SubnetRange | undefined, held: Prefix | undefined): boolean {
  if (!range || !held) return !range && !held;
  return (
    held.length === range.length &&
    contains(range.network, held) &&
    held.value >= range.min &&
    held.value <= range.max
  );
}

function halves(taken: readonly Subnets[], half: 'v4' | 'v6'): Prefix[] {
  return taken.map(subnets => subnets[half]).filter(cidr => cidr !== undefined);
}

function pickOne(
  family: Family,
  range: SubnetRange,
  taken: readonly Prefix[],
  previous: Prefix | undefined,
  random: Random,
): Prefix | undefined {
  const size = sizeOf(family, range.length);
  const held = occupied(range, taken, size);
  const isFree = (value: bigint): boolean => !held.some(([from, to]) => value < to && value + size > from);
  if (previous && fitsOne(range, previous) && isFree(previous.value)) return previous;

  // `held` is sorted and merged: walking the gaps costs no more than the number of leases, however wide the range.
  const free: bigint[] = [];
  let next = range.min;
  for (const [from, to] of [...held, [range.max + size, range.max + size] as const]) {
    for (; next + size <= from && next <= range.max && free.length < CANDIDATES; next += size)
      free.push(next);
    if (free.length >= CANDIDATES) break;
    if (to > next) next = roundUp(to, size);
  }
  const value = free.length > 0 ? free[random(free.length)] : undefined;
  return value === undefined ? undefined : { family, value, length: range.length };
}

/** Address intervals [from, to) inside the range that are held, sorted and merged. */
function occupied(range: SubnetRange, taken: readonly Prefix[], size: bigint): [bigint, bigint][] {
  const end = range.max + size;
  const intervals = taken
    .map(cidr => [cidr.value, cidr.value + sizeOf(cidr.family, cidr.length)] as [bigint, bigint])
    .filter(([from, to]) => from < end && to > range.min)
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const merged: [bigint, bigint][] = [];
  for (const [from, to] of intervals) {
    const last = merged.at(-1);
    if (!last || from > last[1]) merged.push([from, to]);
    else if (to > last[1]) last[1] = to;
  }
  return merged;
}

function roundUp(value: bigint, size: bigint): bigint {
  return ((value + size - 1n) / size) * size;
}
