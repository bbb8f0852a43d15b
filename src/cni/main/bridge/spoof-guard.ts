import { applyNftScript } from '../../../net/nft/nft.ts';
import { callTag } from '../../link/tag.ts';
import { type ExistingRules, everyBackend, type RuleBackend } from '../../rules/backend.ts';
import { TABLE, TaggedSets } from '../../rules/nft-elements.ts';
import { hasReferenceGuard, removeReferenceGuard } from '../../rules/reference-nft.ts';
import { CniError, CODE } from '../../skel/errors.ts';

/*
 * A frame that comes in by a guarded port and does not carry the port's MAC address as its source is dropped. Two sets
 * and one rule for all pods; an element carries the tag of its attachment.
 */

interface GuardedPort {
  /** Name of the node's end of the pair. */
  name: string;
  /** MAC address of the pod's end. */
  mac: string | undefined;
}

/** A guarded port has an element in each. */
const SETS = new TaggedSets('bridge', ['set guarded', 'set allowed']);

/** Before everything else that looks at bridged frames (linux/netfilter_bridge.h NF_BR_PRI_NAT_DST_BRIDGED). */
const PRIORITY = -300;

const BASE = `
add table bridge ${TABLE}
add set bridge ${TABLE} guarded { typeof iifname ; }
add set bridge ${TABLE} allowed { typeof iifname . ether saddr ; }
add chain bridge ${TABLE} antispoof { type filter hook prerouting priority ${PRIORITY} ; }
flush chain bridge ${TABLE} antispoof
add rule bridge ${TABLE} antispoof iifname @guarded iifname . ether saddr != @allowed drop
`;

export const nftGuard: RuleBackend<GuardedPort> = {
  async add(call, { name, mac }) {
    if (mac === undefined) throw new CniError(CODE.INTERNAL, `the pod's end of ${name} has no MAC address`);
    const comment = `comment "${callTag(call)}"`;
    const elements = `
add element bridge ${TABLE} guarded { "${name}" ${comment} }
add element bridge ${TABLE} allowed { "${name}" . ${mac} ${comment} }
`;
    await applyNftScript(call.host.netns, BASE + elements);
  },

  check: async (call, { name }) => ((await SETS.keysOf(call)).length === 2 ? [] : [name]),
  remove: call => SETS.remove(call),
  gc: (call, valid) => SETS.gc(call, valid),
};

const referenceGuard: ExistingRules<GuardedPort> = {
  remove: removeReferenceGuard,
  check: async (call, { name }) => ((await hasReferenceGuard(call)) ? [] : [name]),
  // Its comments do not name a network, so only DEL can identify the owner.
  gc: async () => {},
};

/** Our guard and that of the reference plugin. */
export const spoofGuard = everyBackend([nftGuard, referenceGuard]);
