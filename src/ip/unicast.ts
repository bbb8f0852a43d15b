import { type Address, isSameAddress } from './address.ts';
import { contains, lastOf, type Prefix, requirePrefix } from './prefix.ts';

/** Ranges that no node has its address in, with what they are. */
const RANGES: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', 'unspecified'],
  ['127.0.0.0/8', 'a loopback address'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'the broadcast address'],
  ['::/128', 'unspecified'],
  ['::1/128', 'a loopback address'],
  ['ff00::/8', 'multicast'],
  ['::ffff:0:0/96', 'an IPv4-mapped address'],
];

const PREFIXES = RANGES.map(([text, kind]) => ({ prefix: requirePrefix(text), kind }));

/** Why an address cannot be that of another node, as in "is multicast"; undefined for one that can. */
export function whyNoNode(address: Address): string | undefined {
  return PREFIXES.find(({ prefix }) => contains(prefix, address))?.kind;
}

/** True for the broadcast address of an IPv4 subnet. Point-to-point links (/31) and single addresses have none. */
export function isBroadcastOf(subnet: Prefix, address: Address): boolean {
  return subnet.family === 4 && subnet.length <= 30 && isSameAddress(lastOf(subnet), address);
}
