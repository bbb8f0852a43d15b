import { Address4, Address6 } from 'ip-address';
import type { Family } from '../../encap/encap.ts';
import { addressText, viewOf } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';

/*
 * IP addresses as people and files write them. The package `ip-address` reads the text. The text out is written by
 * encap, in the canonical form of RFC 5952, so that a capture, a log line and the kernel's tables name an address alike.
 * An IPv4-mapped address (::ffff:10.0.0.1) is an IPv6 address here.
 */

export type { Family };

export interface Address {
  readonly family: Family;
  /** The address as an unsigned number in network order. */
  readonly value: bigint;
}

/** Number of address bits of a family. */
export const bitsOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** Reads an address without prefix length and without zone; undefined for any other text. */
export function parseAddress(text: string): Address | undefined {
  // The package takes a prefix length and a zone as part of an address.
  if (/[/%]/.test(text)) return undefined;
  try {
    if (!text.includes(':')) return { family: 4, value: join(new Address4(text).parsedAddress, 10, 8) };
    return { family: 6, value: join(new Address6(text).parsedAddress, 16, 16) };
  } catch {
    return undefined;
  }
}

/** The number that digits of `bits` bits each make, the most significant first. */
function join(digits: readonly string[], radix: number, bits: number): bigint {
  let value = 0n;
  let word = 0;
  let filled = 0;
  for (const digit of digits) {
    word = word * 2 ** bits + Number.parseInt(digit, radix);
    filled += bits;
    if (filled < 32) continue;
    value = (value << 32n) | BigInt(word);
    word = 0;
    filled = 0;
  }
  return value;
}

/** Reads an address. @throws RipstopError ECONFIG */
export function requireAddress(text: string): Address {
  const address = parseAddress(text);
  if (!address) throw new RipstopError('ECONFIG', `${JSON.stringify(text)} is not an IP address`);
  return address;
}

/** The canonical text of an address. */
export function formatAddress(address: Address): string {
  return addressText(bytesOf(address));
}

/** The canonical text of an address, however it was written. @throws RipstopError ECONFIG */
export function canonicalAddress(text: string): string {
  return formatAddress(requireAddress(text));
}

/** An address with its port, if it has one: `10.244.1.2:80`, `[fd00::1]:80`, `10.244.1.2`. */
export function formatEndpoint(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The IPv4 address that an IPv4-mapped one stands for; any other address unchanged. */
export function unmapped(address: Address): Address {
  const isMapped = address.family === 6 && address.value >> 32n === 0xffffn;
  return isMapped ? { family: 4, value: address.value & 0xffff_ffffn } : address;
}

export function isSameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value;
}

/** The 4 or 16 bytes of an address in network order. */
export function bytesOf({ family, value }: Address): Uint8Array {
  const bytes = new Uint8Array(bitsOf(family) / 8);
  const view = viewOf(bytes);
  if (family === 4) view.setUint32(0, Number(value));
  else {
    view.setBigUint64(0, value >> 64n);
    view.setBigUint64(8, value);
  }
  return bytes;
}

/** The 4 or 16 bytes of the address that a text names. @throws RipstopError ECONFIG */
export function addressBytes(text: string): Uint8Array {
  return bytesOf(requireAddress(text));
}

/** The 16 bytes of an address, an IPv4 address mapped (::ffff:a.b.c.d): the form of the forwarding tables. */
export function mappedBytesOf({ family, value }: Address): Uint8Array {
  return bytesOf({ family: 6, value: family === 4 ? 0xffff_0000_0000n | value : value });
}
