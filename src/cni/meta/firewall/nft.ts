import { applyNftScript } from '../../../net/nft/nft.ts';
import { callTag } from '../../link/tag.ts';
import { isV6 } from '../../result/types.ts';
import type { RuleBackend } from '../../rules/backend.ts';
import { TABLE, type TaggedSet, TaggedSets } from '../../rules/nft-elements.ts';
import type { FirewallRules, GuardedDevice } from './config.ts';

/*
 * Two sets of pods whose traffic is accepted, and two of bridges: frames from one shut bridge to a shut bridge pass only
 * when the pair is allowed, which for the policy "same-bridge" is the bridge with itself.
 */

const PODS: readonly TaggedSet[] = [
  { name: 'pods4', key: ['ipv4_addr'] },
  { name: 'pods6', key: ['ipv6_addr'] },
];
const pods = new TaggedSets('inet', PODS);
/** A bridge has no tag, because several pods have it. */
const all = new TaggedSets('inet', [
  ...PODS,
  { name: 'shut_bridges', key: ['ifname'] },
  { name: 'open_pairs', key: ['ifname', 'ifname'] },
]);

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

function guardLines({ name, isShared }: GuardedDevice, policy: string, tag: string): string[] {
  const comment = isShared ? '' : ` comment "${tag}"`;
  const shut = `add element inet ${TABLE} shut_bridges { "${name}"${comment} }`;
  const pair = `add element inet ${TABLE} open_pairs { "${name}" . "${name}"${comment} }`;
  return policy === 'same-bridge' ? [shut, pair] : [shut];
}

export const nftFirewall: RuleBackend<FirewallRules> = {
  async add(call, { policy, addresses, guarded }) {
    const tag = callTag(call);
    const elements = addresses.map(
      one => `add element inet ${TABLE} ${isV6(one) ? 'pods6' : 'pods4'} { ${one} comment "${tag}" }`,
    );
    const guard = guarded ? guardLines(guarded, policy, tag) : [];
    await applyNftScript(call.host.netns, [BASE, ...elements, ...guard, ''].join('\n'));
  },

  async check(call, { addresses }) {
    const there = pods.keysOf(call);
    return addresses.filter(one => !there.includes(one));
  },

  remove: call => all.remove(call),
  gc: (call, valid) => all.gc(call, valid),
};
