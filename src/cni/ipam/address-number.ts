import { formatAddress, parseAddress, parsePrefix } from '../../net/address-text.ts';
import { refuse } from '../skel/errors.ts';

/** An IP address one can count with. */
export interface AddressNumber {
  v6: boolean;
  value: bigint;
}

/** A network: address and length; `base` has its host bits cleared, `address` as written. */
export interface Network {
  v6: boolean;
  address: bigint;
  base: bigint;
  length: number;
  /** Highest address of the network (the broadcast address in IPv4). */
  last: bigint;
}

function fromBytes(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/** Reads an address; a prefix length behind it is taken off. @throws CniError 7 naming `where` */
export function readAddress(text: string, where: string): AddressNumber {
  try {
    const bytes = parseAddress(text.replace(/\/\d+$/, ''));
    return { v6: bytes.length === 16, value: fromBytes(bytes) };
  } catch {
    refuse(where, `"${text}" is not an IP address`);
  }
}

/** Reads `address/length`. @throws CniError 7 naming `where` */
export function readNetwork(text: string, where: string): Network {
  if (!text.includes('/')) refuse(where, `"${text}" is not a CIDR`, 'it takes address/length');
  try {
    const { address: bytes, length } = parsePrefix(text);
    const hostBits = BigInt(bytes.length * 8 - length);
    const address = fromBytes(bytes);
    const base = (address >> hostBits) << hostBits;
    return { v6: bytes.length === 16, address, base, length, last: base + (1n << hostBits) - 1n };
  } catch {
    refuse(where, `"${text}" is not a CIDR`, 'it takes address/length');
  }
}

/** The canonical text of an address. */
export function writeAddress(v6: boolean, value: bigint): string {
  const bytes = new Uint8Array(v6 ? 16 : 4);
  let rest = value;
  for (let i = bytes.length - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return formatAddress(bytes);
}

export function contains(network: Network, v6: boolean, value: bigint): boolean {
  return network.v6 === v6 && value >= network.base && value <= network.last;
}
