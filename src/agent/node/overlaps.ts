import { lastOf, parsePrefix } from '../../ip/prefix.ts';

/** A subnet with its owner's place in the configuration. */
export interface OwnedSubnet {
  readonly subnet: string;
  /** Where it stands: `peers[2].subnets[0]`. */
  readonly where: string;
  /** For people: `this node`, `peer "two"`. */
  readonly owner: string;
}

/**
 * The first two subnets that share an address, the earlier one of the list first; undefined when there are none. Sorted
 * once, so that a thousand peers cost milliseconds.
 */
export function findOverlap(owned: readonly OwnedSubnet[]): readonly [OwnedSubnet, OwnedSubnet] | undefined {
  const spans = owned.flatMap((entry, index) => {
    const cidr = parsePrefix(entry.subnet);
    if (!cidr) return [];
    return [{ index, family: cidr.family, first: cidr.value, last: lastOf(cidr).value }];
  });
  spans.sort((a, b) => a.family - b.family || Number(a.first > b.first) - Number(a.first < b.first));
  let widest: (typeof spans)[0] | undefined;
  for (const span of spans) {
    if (widest && widest.family === span.family && span.first <= widest.last) {
      const [earlier, later] = widest.index < span.index ? [widest, span] : [span, widest];
      return [owned[earlier.index]!, owned[later.index]!];
    }
    // Nothing overlapped so far, so the span that begins last also ends last.
    widest = span;
  }
  return undefined;
}
