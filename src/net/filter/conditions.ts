import { type Address, parseAddress } from '../../ip/address.ts';
import { contains, parsePrefix } from '../../ip/prefix.ts';
import type { FilterCondition, FilterPacket } from './model.ts';

/** The reverse of what is known; what is not known stays so. */
export function negated(condition: FilterCondition): FilterCondition {
  return packet => {
    const holds = condition(packet);
    return holds === undefined ? undefined : !holds;
  };
}

/** True for an address inside a CIDR, or for the address itself; undefined for another text, such as a host name. */
export function isWithin(address: Address, text: string): boolean | undefined {
  const prefix = parsePrefix(text);
  if (prefix) return contains(prefix, address);
  const single = parseAddress(text);
  return single && single.family === address.family && single.value === address.value;
}

/** Compares an interface name with a pattern that may end with `wildcard`. */
export function isInterface(name: string | undefined, pattern: string, wildcard: '+' | '*'): boolean {
  if (!pattern.endsWith(wildcard)) return name === pattern;
  return name?.startsWith(pattern.slice(0, -1)) ?? false;
}

/** Protocol numbers by the names that rules have, as far as packets here can have them. */
const PROTOCOLS: Readonly<Record<string, FilterPacket['protocol'] | 'other'>> = {
  '1': 'icmp',
  '6': 'tcp',
  '17': 'udp',
  '58': 'icmp',
  icmp: 'icmp',
  tcp: 'tcp',
  udp: 'udp',
};

/** True for a protocol by name or number. ICMP has another number in IPv6. */
export function isProtocol({ protocol, family }: FilterPacket, name: string | number): boolean {
  const text = String(name).toLowerCase();
  if (/^(58|(ipv6-)?icmpv?6)$/.test(text)) return protocol === 'icmp' && family === 6;
  if (protocol === 'icmp' && family === 6) return false;
  return PROTOCOLS[text] === protocol;
}
