import { Address4, Address6 } from 'ip-address';

/** IP version of an address or subnet. */
export type Family = 4 | 6;

/** An address with a prefix length. `value` may carry host bits: `10.1.2.3/24` keeps the 3. */
export interface Cidr {
  readonly family: Family;
  /** The address as an unsigned number, network order. */
  readonly value: bigint;
  readonly length: number;
}

/** Number of address bits of a family. */
export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);

/** Reads an address or an `address/length`; undefined when it is neither. No zone, no leading zeros. */
export function parseCidr(text: string): Cidr | undefined {
  if (text.includes('%') || text.trim() !== text) return undefined;
  if (Address4.isValid(text)) {
    const address = new Address4(text);
    return { family: 4, value: address.bigInt(), length: address.subnetMask };
  }
  if (Address6.isValid(text)) {
    const address = new Address6(text);
    return { family: 6, value: address.bigInt(), length: address.subnetMask };
  }
  return undefined;
}

/** Reads a bare address (no length); undefined when it is none. */
export function parseAddress(text: string): Cidr | undefined {
  return text.includes('/') ? undefined : parseCidr(text);
}

/** Text of an address in its canonical form (IPv6 as in RFC 5952). */
export function formatAddress(family: Family, value: bigint): string {
  return family === 4 ? Address4.fromBigInt(value).address : Address6.fromBigInt(value).correctForm();
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.family, cidr.value)}/${cidr.length}`;
}

/** Addresses in a subnet of `length`. */
export function sizeOf(family: Family, length: number): bigint {
  return 1n << BigInt(bitsOf(family) - length);
}

/** The subnet that an address lies in: host bits cleared. */
export function networkOf(cidr: Cidr): Cidr {
  const size = sizeOf(cidr.family, cidr.length);
  return { family: cidr.family, value: (cidr.value / size) * size, length: cidr.length };
}

/** True when no host bit is set. */
export function isNetwork(cidr: Cidr): boolean {
  return cidr.value % sizeOf(cidr.family, cidr.length) === 0n;
}

export function isEqual(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.value === b.value && a.length === b.length;
}

/** True when `inner` lies wholly within `outer`; always false across families. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  if (outer.family !== inner.family || inner.length < outer.length) return false;
  const size = sizeOf(outer.family, outer.length);
  return inner.value / size === outer.value / size;
}

/** True when the two share an address; always false across families. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.length <= b.length ? contains(a, b) : contains(b, a);
}

/** The same address, in text, however it was written; undefined when it is no address. */
export function canonicalAddress(text: string): string | undefined {
  const cidr = parseAddress(text);
  return cidr && formatAddress(cidr.family, cidr.value);
}
