import * as addresses from '../../encap/wire/addresses.ts';
import { bytesOf, type Family } from '../ip/address.ts';
import { networkOf, type Prefix, requirePrefix } from '../ip/prefix.ts';
import { malformedMessage } from './error.ts';

/*
 * Addresses in kernel messages: 4 or 16 bytes in network order, next to the number of their family. A dump has thousands of
 * them, so their text is written directly from the bytes. The text is canonical, because tables are compared by it.
 */

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_BRIDGE = 7;

/** The kernel's number of a family, or of both where none is given. */
export function familyNumber(family: Family | undefined): number {
  if (family === undefined) return AF_UNSPEC;
  return family === 6 ? AF_INET6 : AF_INET;
}

/** The kernel's number of the family of an address of 4 or 16 bytes. */
export function familyNumberOf(address: Uint8Array): number {
  return address.length === 16 ? AF_INET6 : AF_INET;
}

/** The family that a message names by the kernel's number. */
export function familyOf(number: number): Family {
  return number === AF_INET6 ? 6 : 4;
}

/** Address and prefix length of a message. */
export interface PrefixBytes {
  readonly family: Family;
  readonly address: Uint8Array;
  readonly length: number;
}

/** A prefix with its host bits. @throws RipstopError ECONFIG for an invalid text */
export function prefixBytes(text: string): PrefixBytes {
  return bytesOfPrefix(requirePrefix(text));
}

/** A prefix without its host bits. @throws RipstopError ECONFIG for an invalid text */
export function networkBytes(text: string): PrefixBytes {
  return bytesOfPrefix(networkOf(requirePrefix(text)));
}

function bytesOfPrefix(prefix: Prefix): PrefixBytes {
  return { family: prefix.family, address: bytesOf(prefix), length: prefix.length };
}

/** @throws NetError EBADMSG for another number of bytes than 4 or 16 */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length !== 4 && bytes.length !== 16) throw malformedMessage(`address of ${bytes.length} bytes`);
  return addresses.addressText(bytes);
}

/** @throws NetError EBADMSG for another number of bytes than 4 or 16 */
export function prefixText(bytes: Uint8Array, length: number): string {
  return `${addressText(bytes)}/${length}`;
}

/** @throws NetError EBADMSG for another number of bytes than 6 */
export function macText(bytes: Uint8Array): string {
  if (bytes.length !== 6) throw malformedMessage(`MAC address of ${bytes.length} bytes`);
  return addresses.macText(bytes);
}
