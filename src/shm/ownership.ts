import { formatIpv4, formatIpv6, formatMac } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';
import type { Mac } from './fdb.ts';
import { maskWord } from './lpm.ts';

/*
 * Who owns what among the peers that are to be published: nothing may belong to two of them, or the tables would
 * have to choose. Everything here throws before a table is touched.
 */

/** A prefix that a peer owns. */
export interface Subnet {
  readonly family: 4 | 6;
  /** One word (IPv4) or four (IPv6), big-endian values as signed int32; bits beyond `length` are zero. */
  readonly words: readonly number[];
  readonly length: number;
}

/** Remembers the owner of each key and throws EOVERLAP when a second one comes. */
export class Owners {
  readonly #what: string;
  readonly #hint: string;
  readonly #owners = new Map<string, string>();

  constructor(what: string, hint: string) {
    this.#what = what;
    this.#hint = hint;
  }

  /**
   * True when `key` is new, false when `id` owns it already.
   * @param text the thing as a person writes it; asked for only when it is claimed twice
   */
  claim(key: string, id: string, text: () => string): boolean {
    const owner = this.#owners.get(key);
    if (owner === id) return false;
    if (owner !== undefined)
      throw new RipstopError(
        'EOVERLAP',
        `peers ${owner} and ${id} both have the ${this.#what} ${text()}`,
        this.#hint,
      );
    this.#owners.set(key, id);
    return true;
  }

  ownerOf(key: string): string | undefined {
    return this.#owners.get(key);
  }
}

/** The key of a prefix: cheap to make, the same for the same prefix. */
export function subnetKey(words: ArrayLike<number>, length: number): string {
  if (words.length === 1) return `${words[0]}/${length}`;
  return `${words[0]} ${words[1]} ${words[2]} ${words[3]}/${length}`;
}

/** `10.244.1.0/24`, `2001:db8::/64` */
export function subnetText(words: ArrayLike<number>, length: number): string {
  const view = new DataView(new ArrayBuffer(16));
  for (let word = 0; word < words.length; word++) view.setInt32(word * 4, words[word]!);
  return `${words.length === 1 ? formatIpv4(view, 0) : formatIpv6(view, 0)}/${length}`;
}

/** `02:00:00:00:00:01` */
export function macText(mac: Mac): string {
  const view = new DataView(new ArrayBuffer(6));
  view.setUint16(0, mac.hi);
  view.setInt32(2, mac.lo);
  return formatMac(view, 0);
}

/** Throws ECONFIG for a prefix whose words and length do not fit each other. */
export function checkSubnet(id: string, { family, words, length }: Subnet): void {
  const size = family === 4 ? 1 : 4;
  const bits = size * 32;
  if (words.length !== size || !Number.isInteger(length) || length < 0 || length > bits)
    throw new RipstopError(
      'ECONFIG',
      `peer ${id}: a prefix of ${words.length} words and length ${length} is no IPv${family} prefix`,
    );
  const canonical = words.map((word, index) => word & maskWord(length - index * 32));
  if (canonical.every((word, index) => word === (words[index]! | 0))) return;
  throw new RipstopError(
    'ECONFIG',
    `peer ${id}: ${subnetText(words, length)} has bits beyond its length`,
    `write ${subnetText(canonical, length)}`,
  );
}

/**
 * Throws EOVERLAP when a prefix of one peer lies within a prefix of another: leases never nest, so it is a slip of
 * the hand, and the longer one would silently take traffic from the shorter.
 */
export function refuseNesting(subnets: readonly { id: string; subnet: Subnet }[], owners: Owners): void {
  const lengths = { 4: lengthsOf(subnets, 4), 6: lengthsOf(subnets, 6) };
  for (const { id, subnet } of subnets) {
    for (const length of lengths[subnet.family]) {
      if (length >= subnet.length) break;
      const outer = subnet.words.map((word, index) => word & maskWord(length - index * 32));
      const owner = owners.ownerOf(subnetKey(outer, length));
      if (owner === undefined || owner === id) continue;
      const inner = subnetText(subnet.words, subnet.length);
      throw new RipstopError(
        'EOVERLAP',
        `${inner} of peer ${id} lies within ${subnetText(outer, length)} of peer ${owner}`,
        'give each peer subnets of its own',
      );
    }
  }
}

/** Prefix lengths of one family that occur, shortest first. */
function lengthsOf(subnets: readonly { subnet: Subnet }[], family: 4 | 6): number[] {
  const lengths = subnets.filter(({ subnet }) => subnet.family === family).map(({ subnet }) => subnet.length);
  return [...new Set(lengths)].sort((a, b) => a - b);
}
