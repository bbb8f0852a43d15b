import { applyNftScript } from '../../../net/nft/nft.ts';
import { callTag } from '../../link/tag.ts';
import { isV6 } from '../../result/types.ts';
import { listTagged, removeTagged, type SetName, TABLE } from '../../rules/nft-elements.ts';
import type { Call } from '../../skel/plugin.ts';
import type { FirewallConfig } from './config.ts';

/*
 * Two sets of pods whose traffic is accepted, and two of bridges: frames from one shut bridge to a shut bridge pass only
 * when the pair is allowed, which for the policy "same-bridge" is the bridge with itself.
 */

const SETS: readonly SetName[] = ['set pods4', 'set pods6'];

const BASE = `
add table inet ${TABLE}
add set inet ${TABLE} pods4 { type ipv4_addr ; }
add set inet ${TABLE} pods6 { type ipv6_addr ; }
add set inet ${TABLE} shut_bridges { type ifname ; }
add set inet ${TABLE} open_pairs { type ifname . ifname ; }
add chain inet ${TABLE} pods_forward { type filter hook forward priority 0 ; }
flush chain inet ${TABLE} pods_forward
add rule inet ${TABLE} pods_forward iifname @shut_bridges oifname @shut_bridges iifname . oifname != @open_pairs drop
add rule inet ${TABLE} pods_forward ip daddr @pods4 ct state established,related accept
add rule inet ${TABLE} pods_forward ip saddr @pods4 accept
add rule inet ${TABLE} pods_forward ip6 daddr @pods6 ct state established,related accept
add rule inet ${TABLE} pods_forward ip6 saddr @pods6 accept
`;

export async function openNft(
  call: Call,
  config: FirewallConfig,
  addresses: readonly string[],
  bridge: string | undefined,
): Promise<void> {
  const tag = callTag(call);
  const pods = addresses.map(
    one => `add element inet ${TABLE} ${isV6(one) ? 'pods6' : 'pods4'} { ${one} comment "${tag}" }`,
  );
  const shut = bridge ? [`add element inet ${TABLE} shut_bridges { "${bridge}" }`] : [];
  const pair =
    bridge && config.policy === 'same-bridge'
      ? [`add element inet ${TABLE} open_pairs { "${bridge}" . "${bridge}" }`]
      : [];
  await applyNftScript(call.host.netns, [BASE, ...pods, ...shut, ...pair, ''].join('\n'));
}

export async function closeNft(call: Call, wanted: (tag: string) => boolean): Promise<void> {
  await removeTagged(call.host.netns, 'inet', SETS, wanted);
}

/** The addresses that are not accepted. */
export async function missingNft(call: Call, addresses: readonly string[]): Promise<string[]> {
  const tag = callTag(call);
  const there = (await listTagged(call.host.netns, 'inet', SETS, one => one === tag)).map(one =>
    String(one.key),
  );
  return addresses.filter(one => !there.includes(one));
}
