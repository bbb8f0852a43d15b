import { formatIpv4, formatIpv6, formatMac } from '../../../encap/wire/addresses.ts';
import { RipstopError } from '../../base/errors.ts';
import type { Mac } from './fdb.ts';
import { maskWord } from './lpm.ts';

/** A prefix that a peer owns. */
export interface Subnet {
  readonly family: 4 | 6;
  /** One word (IPv4) or four (IPv6), big-endian values as signed int32; bits beyond `length` are zero. */
  readonly words: readonly number[];
  readonly length: number;
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
