import { applyNftScript } from '../../../net/nft/nft.ts';
import { hasNftTable } from '../../../net/nft/presence.ts';
import { listTagged, removeTagged, type SetName, TABLE } from '../../rules/nft-elements.ts';

/*
 * A frame that comes in by a guarded port and does not carry the port's MAC address as its source is dropped. Two sets
 * and one rule for all pods; an element carries the tag of its attachment.
 */

const SETS: readonly SetName[] = ['set guarded', 'set allowed'];

/** Before everything else that looks at bridged frames (linux/netfilter_bridge.h NF_BR_PRI_NAT_DST_BRIDGED). */
const PRIORITY = -300;

export async function guardPort(netns: string, tag: string, port: string, mac: string): Promise<void> {
  await applyNftScript(
    netns,
    `
add table bridge ${TABLE}
add set bridge ${TABLE} guarded { typeof iifname ; }
add set bridge ${TABLE} allowed { typeof iifname . ether saddr ; }
add chain bridge ${TABLE} antispoof { type filter hook prerouting priority ${PRIORITY} ; }
flush chain bridge ${TABLE} antispoof
add rule bridge ${TABLE} antispoof iifname @guarded iifname . ether saddr != @allowed drop
add element bridge ${TABLE} guarded { "${port}" comment "${tag}" }
add element bridge ${TABLE} allowed { "${port}" . ${mac} comment "${tag}" }
`,
  );
}

export async function unguardPorts(netns: string, wanted: (tag: string) => boolean): Promise<void> {
  if (hasNftTable(netns, 'bridge', TABLE)) await removeTagged(netns, 'bridge', SETS, wanted);
}

export async function isGuarded(netns: string, tag: string): Promise<boolean> {
  return (await listTagged(netns, 'bridge', SETS, one => one === tag)).length === SETS.length;
}
