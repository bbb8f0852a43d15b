import { canonicalAddress, canonicalNetwork } from '../../net/address-text.ts';
import { applyNftScript } from '../../net/nft/nft.ts';
import { type AssignedAddress, isV6 } from '../result/types.ts';
import {
  deleteElements,
  listElements,
  listTagged,
  removeTagged,
  type SetName,
  SRCNAT,
  TABLE,
  tagIn,
} from './nft-elements.ts';

/*
 * A map from the pod's address to the chain of its subnet, which leaves the subnet and multicast alone and masquerades
 * the rest. Adding a pod is one transaction that states the frame anew and adds one element: any number of them at
 * once cannot double a rule or lose one.
 */

const MAPS: readonly SetName[] = ['map masquerade4', 'map masquerade6'];

const BASE = `
add table inet ${TABLE}
add map inet ${TABLE} masquerade4 { type ipv4_addr : verdict ; }
add map inet ${TABLE} masquerade6 { type ipv6_addr : verdict ; }
add chain inet ${TABLE} pods_out { type nat hook postrouting priority ${SRCNAT} ; }
flush chain inet ${TABLE} pods_out
add rule inet ${TABLE} pods_out ip saddr vmap @masquerade4
add rule inet ${TABLE} pods_out ip6 saddr vmap @masquerade6
`;

function elementScript({ address }: AssignedAddress, tag: string): string {
  const subnet = canonicalNetwork(address);
  const chain = `pods_out_${subnet.replace(/[:./]/g, '_')}`;
  const [family, map, multicast] = isV6(address)
    ? ['ip6', 'masquerade6', 'ff00::/8']
    : ['ip', 'masquerade4', '224.0.0.0/4'];
  return `
add chain inet ${TABLE} ${chain}
flush chain inet ${TABLE} ${chain}
add rule inet ${TABLE} ${chain} ${family} daddr ${subnet} return
add rule inet ${TABLE} ${chain} ${family} daddr ${multicast} return
add rule inet ${TABLE} ${chain} masquerade
add element inet ${TABLE} ${map} { ${address.split('/')[0]} comment "${tag}" : jump ${chain} }
`;
}

/** Masquerades what the addresses send out of their subnets. One transaction. @throws RipstopError */
export async function masqueradeNft(
  netns: string,
  tag: string,
  ips: readonly AssignedAddress[],
): Promise<void> {
  await applyNftScript(netns, BASE + ips.map(one => elementScript(one, tag)).join(''));
}

/** Takes away the masquerading of every tag that `wanted` accepts; needs neither address nor namespace. */
export async function unmasqueradeNft(netns: string, wanted: (tag: string) => boolean): Promise<void> {
  await removeTagged(netns, 'inet', MAPS, wanted);
}

const hostOf = ({ address }: AssignedAddress) => canonicalAddress(address.split('/')[0]!);

/** Takes away elements of other tags for these addresses: the former owners are gone. */
export async function displaceNft(
  netns: string,
  tag: string,
  ips: readonly AssignedAddress[],
): Promise<void> {
  const addresses = ips.map(hostOf);
  const elements = await listElements(netns, 'inet', MAPS);
  const stale = elements.filter(one => tagIn(one.comment) !== tag && addresses.includes(String(one.key)));
  await deleteElements(netns, 'inet', stale);
}

/** How many of these addresses are masqueraded under this tag. */
export async function countMasqueradedNft(
  netns: string,
  tag: string,
  ips: readonly AssignedAddress[],
): Promise<number> {
  const there = (await listTagged(netns, 'inet', MAPS, one => one === tag)).map(one => String(one.key));
  return ips.filter(one => there.includes(hostOf(one))).length;
}
