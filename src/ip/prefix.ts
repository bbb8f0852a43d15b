import { RipstopError } from '../base/errors.ts';
import { type Address, bitsOf, type Family, formatAddress, parseAddress } from './address.ts';

/** An address with a prefix length. `value` may carry host bits: `10.1.2.3/24` keeps the 3. */
export interface Prefix extends Address {
  readonly length: number;
}

/** Reads `address/length`, or an address as a prefix of its whole length; undefined when the text is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) return undefined;
  const bits = bitsOf(address.family);
  if (slash < 0) return { ...address, length: bits };
  const digits = text.slice(slash + 1);
  if (!/^[0-9]{1,3}$/.test(digits) || Number(digits) > bits) return undefined;
  return { ...address, length: Number(digits) };
}

/** Reads a prefix. @throws RipstopError ECONFIG */
export function requirePrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix) return prefix;
  throw new RipstopError(
    'ECONFIG',
    `${JSON.stringify(text)} is not a subnet`,
    'write 10.244.1.0/24 or fd00:1::/64',
  );
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

/** The canonical text of the network that a prefix names, host bits cleared. @throws RipstopError ECONFIG */
export function canonicalNetwork(text: string): string {
  return formatPrefix(networkOf(requirePrefix(text)));
}

/** The text of the first address of a prefix. */
export function baseAddress(prefix: Prefix): string {
  return formatAddress(networkOf(prefix));
}

/** `contains` for texts. @throws RipstopError ECONFIG */
export function covers(outer: string, inner: string): boolean {
  return contains(requirePrefix(outer), requirePrefix(inner));
}

/** Number of addresses in a prefix of `length`. */
export function sizeOf(family: Family, length: number): bigint {
  return 1n << BigInt(bitsOf(family) - length);
}

/** The prefix with its host bits cleared. */
export function networkOf({ family, value, length }: Prefix): Prefix {
  return { family, value: firstValue(family, value, length), length };
}

/** True when no host bit is set. */
export function isNetwork({ family, value, length }: Prefix): boolean {
  return firstValue(family, value, length) === value;
}

/** The address at place `index` of a prefix, counted from its first one. It may lie behind the last one. */
export function nth({ family, value, length }: Prefix, index: bigint): Address {
  return { family, value: firstValue(family, value, length) + index };
}

/** The last address of a prefix: the broadcast address of an IPv4 subnet. */
export function lastOf(prefix: Prefix): Address {
  return nth(prefix, sizeOf(prefix.family, prefix.length) - 1n);
}

export function isSamePrefix(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.value === b.value && a.length === b.length;
}

/** True when `inner`, an address or a prefix, lies wholly within `outer`; always false across families. */
export function contains(outer: Prefix, inner: Address | Prefix): boolean {
  const length = 'length' in inner ? inner.length : bitsOf(inner.family);
  if (outer.family !== inner.family || length < outer.length) return false;
  const hostBits = BigInt(bitsOf(outer.family) - outer.length);
  return inner.value >> hostBits === outer.value >> hostBits;
}

/** True when the two share an address; always false across families. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? contains(a, b) : contains(b, a);
}

/** The two halves of a network. */
export function halvesOf({ family, value, length }: Prefix): readonly [Prefix, Prefix] {
  return [
    { family, value, length: length + 1 },
    { family, value: value + sizeOf(family, length + 1), length: length + 1 },
  ];
}

function firstValue(family: Family, value: bigint, length: number): bigint {
  const hostBits = BigInt(bitsOf(family) - length);
  return (value >> hostBits) << hostBits;
}
