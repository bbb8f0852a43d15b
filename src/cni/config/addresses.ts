import { type Address, parseAddress } from '../../ip/address.ts';
import { type Prefix, parsePrefix } from '../../ip/prefix.ts';
import { refuse } from '../skel/errors.ts';

/** Reads an address of a configuration; a prefix length behind it is ignored. @throws CniError 7 naming `where` */
export function readAddress(text: string, where: string): Address {
  return parseAddress(text.replace(/\/\d+$/, '')) ?? refuse(where, `"${text}" is not an IP address`);
}

/** Reads `address/length` of a configuration. @throws CniError 7 naming `where` */
export function readPrefix(text: string, where: string): Prefix {
  const prefix = text.includes('/') ? parsePrefix(text) : undefined;
  return prefix ?? refuse(where, `"${text}" is not a CIDR`, 'it takes address/length');
}
