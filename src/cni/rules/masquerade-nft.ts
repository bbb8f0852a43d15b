import { canonicalAddress } from '../../ip/address.ts';
import { canonicalNetwork } from '../../ip/prefix.ts';
import { applyNftScript } from '../../net/nft/nft.ts';
import { callTag } from '../link/tag.ts';
import { type AssignedAddress, hostPart, isV6 } from '../result/types.ts';
import type { Call } from '../skel/plugin.ts';
import type { RuleBackend } from './backend.ts';
import { SRCNAT, TABLE, TaggedSets, tagIn } from './nft-elements.ts';

/*
 * A map from the pod's address to the chain of its subnet, which leaves the subnet and multicast alone and masquerades
 * the rest. Adding a pod is one transaction that states table, maps and chain again and adds one element: any number of them at
 * once cannot double a rule or lose one.
 */

const MAPS = new TaggedSets('inet', ['map masquerade4', 'map masquerade6']);

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
add element inet ${TABLE} ${map} { ${hostPart(address)} comment "${tag}" : jump ${chain} }
`;
}

const hostOf = ({ address }: AssignedAddress) => canonicalAddress(hostPart(address));

export const nftMasquerade: RuleBackend<readonly AssignedAddress[]> = {
  async add(call, ips) {
    const tag = callTag(call);
    await applyNftScript(call.host.netns, BASE + ips.map(one => elementScript(one, tag)).join(''));
  },

  async check(call, ips) {
    const there = await MAPS.keysOf(call);
    return ips.filter(one => !there.includes(hostOf(one))).map(one => one.address);
  },

  remove: call => MAPS.remove(call),
  gc: (call, valid) => MAPS.gc(call, valid),
};

/** Removes elements of other attachments for these addresses: those pods no longer exist, and the comment would name the wrong owner. */
export async function displaceNft(call: Call, ips: readonly AssignedAddress[]): Promise<void> {
  const tag = callTag(call);
  const addresses = ips.map(hostOf);
  await MAPS.removeIf(call, ({ comment, key }) => tagIn(comment) !== tag && addresses.includes(String(key)));
}
