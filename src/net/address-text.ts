import { constants } from 'node:os';
import {
  formatIpv4,
  formatIpv6,
  formatMac as formatMacAt,
  parseIpv4,
  parseIpv6,
  parseMac as parseMacText,
  viewOf,
} from '../../encap/wire/addresses.ts';
import { malformedMessage, NetError } from './error.ts';

/*
 * Addresses as people write them and as the kernel takes them: 4 or 16 bytes in network order. Text out is canonical
 * (RFC 5952 for IPv6), so texts of equal addresses are equal: tables are compared by them.
 */

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_BRIDGE = 7;
export type Family = 4 | 6;

/** Address and prefix length, `address` with its host bits. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

export function familyNumber(bytes: Uint8Array): number {
  return bytes.length === 16 ? AF_INET6 : AF_INET;
}

function refuse(text: string, wanted: string): never {
  throw new NetError(constants.errno.EINVAL, `"${text}"`, `is not ${wanted}`);
}

/** 4 or 16 bytes of an IPv4 or IPv6 text (no zone). @throws NetError EINVAL */
export function parseAddress(text: string): Uint8Array {
  return (text.includes(':') ? parseIpv6(text) : parseIpv4(text)) ?? refuse(text, 'an IP address');
}

/** Text of 4 or 16 bytes. @throws NetError EBADMSG for any other number of them */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return formatIpv4(viewOf(bytes), 0);
  if (bytes.length === 16) return formatIpv6(viewOf(bytes), 0);
  throw malformedMessage(`address of ${bytes.length} bytes`);
}

/** The canonical text of an address. @throws NetError EINVAL */
export function canonicalAddress(text: string): string {
  return formatAddress(parseAddress(text));
}

/** `a.b.c.d/len`, `v6/len`, or a bare address (its whole length). @throws NetError EINVAL */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const bits = address.length * 8;
  if (slash < 0) return { address, length: bits };
  const length = Number(text.slice(slash + 1));
  if (!/^\d{1,3}$/.test(text.slice(slash + 1)) || length > bits) refuse(text, `a prefix of at most /${bits}`);
  return { address, length };
}

export function formatPrefix(address: Uint8Array, length: number): string {
  return `${formatAddress(address)}/${length}`;
}

/** The network of a prefix: host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const address = prefix.address.slice();
  for (let i = 0; i < address.length; i++) {
    const kept = Math.min(8, Math.max(0, prefix.length - i * 8));
    address[i] = address[i]! & (0xff << (8 - kept));
  }
  return { address, length: prefix.length };
}

/** The canonical text of a network, host bits cleared. @throws NetError EINVAL */
export function canonicalNetwork(text: string): string {
  const { address, length } = networkOf(parsePrefix(text));
  return formatPrefix(address, length);
}

/** Six bytes of `aa:bb:cc:dd:ee:ff`. @throws NetError EINVAL */
export function parseMac(text: string): Uint8Array {
  return parseMacText(text) ?? refuse(text, 'a MAC address');
}

/** Text of 6 bytes. @throws NetError EBADMSG for any other number of them */
export function formatMac(bytes: Uint8Array): string {
  if (bytes.length !== 6) throw malformedMessage(`MAC address of ${bytes.length} bytes`);
  return formatMacAt(viewOf(bytes), 0);
}
