import { type Address, parseAddress, unmapped } from '../../ip/address.ts';
import { type Prefix, parsePrefix } from '../../ip/prefix.ts';
import { refuse } from '../skel/errors.ts';

/**
 * Reads an address of a configuration; a prefix length behind it is ignored, and an IPv4-mapped address is one of IPv4, as in Go.
 * @throws CniError 7 naming `where`
 */
export function readAddress(text: string, where: string): Address {
  const address = parseAddress(text.replace(/\/\d+$/, ''));
  return address ? unmapped(address) : refuse(where, `"${text}" is not an IP address`);
}

/** Reads `address/length` of a configuration. @throws CniError 7 naming `where` */
export function readPrefix(text: string, where: string): Prefix {
  const prefix = text.includes('/') ? parsePrefix(text) : undefined;
  return prefix ?? refuse(where, `"${text}" is not a CIDR`, 'it takes address/length');
}
