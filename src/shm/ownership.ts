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

  /** True when `key` is new, false when `id` owns it already. */
  claim(key: string, id: string): boolean {
    const owner = this.#owners.get(key);
    if (owner === id) return false;
    if (owner !== undefined)
      throw new RipstopError(
        'EOVERLAP',
        `peers ${owner} and ${id} both have the ${this.#what} ${key}`,
        this.#hint,
      );
    this.#owners.set(key, id);
    return true;
  }

  ownerOf(key: string): string | undefined {
    return this.#owners.get(key);
  }
}

/** `10.244.1.0/24`; IPv6 without shortening, since it serves as a key as well. */
export function subnetText(family: 4 | 6, words: ArrayLike<number>, length: number): string {
  return `${addressText(family, words)}/${length}`;
}

function addressText(family: 4 | 6, words: ArrayLike<number>): string {
  if (family === 4) return [24, 16, 8, 0].map(shift => (words[0]! >>> shift) & 0xff).join('.');
  return Array.from(
    words,
    word => `${((word >>> 16) & 0xffff).toString(16)}:${(word & 0xffff).toString(16)}`,
  ).join(':');
}

/** `02:00:00:00:00:01` */
export function macText(mac: Mac): string {
  const hex = mac.hi.toString(16).padStart(4, '0') + (mac.lo >>> 0).toString(16).padStart(8, '0');
  return hex.match(/../g)!.join(':');
}

/** Underlay address, 16 bytes in network order, as text. */
export function underlayText(family: 4 | 6, bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return addressText(family, family === 4 ? [view.getInt32(12)] : [0, 4, 8, 12].map(at => view.getInt32(at)));
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
    `peer ${id}: ${subnetText(family, words, length)} has bits beyond its length`,
    `write ${subnetText(family, canonical, length)}`,
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
      const key = subnetText(subnet.family, outer, length);
      const owner = owners.ownerOf(key);
      if (owner === undefined || owner === id) continue;
      const inner = subnetText(subnet.family, subnet.words, subnet.length);
      throw new RipstopError(
        'EOVERLAP',
        `${inner} of peer ${id} lies within ${key} of peer ${owner}`,
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
