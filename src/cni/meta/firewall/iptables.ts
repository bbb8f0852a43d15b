import type { Family } from '../../../ip/address.ts';
import { rulesOfChain, saveIptables, variantsInUse } from '../../../net/iptables.ts';
import { splitRule } from '../../../net/iptables-words.ts';
import { readPrevResult } from '../../config/network.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import { hostPart, isV6 } from '../../result/types.ts';
import type { RuleBackend } from '../../rules/backend.ts';
import {
  applyLines,
  deletionOf,
  ensureChain,
  ensureRule,
  FAMILIES,
  withChainsLock,
} from '../../rules/iptables-chains.ts';
import type { Call } from '../../skel/plugin.ts';
import { type FirewallRules, podAddresses } from './config.ts';

/*
 * The reference plugin's chains: CNI-FORWARD, reached first from FORWARD, asks the administrator's chain and accepts
 * what belongs to pods; CNI-ISOLATION-STAGE-1 and -2 drop between bridges. The rules of a pod are those of the reference to the
 * letter, because it checks and deletes them by their text. A chain that nothing leads to records whose they are: a rule
 * without a target for each address, with the attachment's tag. So DEL needs no address.
 */

const FORWARD = 'CNI-FORWARD';
/** The addresses of attachments. */
const OWNERS = 'RIPSTOP-POD-ADDRESSES';
const STAGE1 = 'CNI-ISOLATION-STAGE-1';
const STAGE2 = 'CNI-ISOLATION-STAGE-2';
const comment = (text: string) => ['-m', 'comment', '--comment', text];

async function ensureChains(netns: string, family: Family, { adminChain }: FirewallRules): Promise<void> {
  for (const chain of [adminChain, FORWARD, OWNERS]) await ensureChain(netns, family, 'filter', chain);
  const admin = [...comment('CNI firewall plugin admin overrides'), '-j', adminChain];
  await ensureRule(netns, family, 'filter', FORWARD, admin);
  const jump = [...comment('CNI firewall plugin rules'), '-j', FORWARD];
  await ensureRule(netns, family, 'filter', 'FORWARD', jump);
}

async function ensureGuard(call: Call, family: Family, { policy, guarded }: FirewallRules): Promise<void> {
  if (!guarded) return;
  const { netns } = call.host;
  for (const chain of [STAGE1, STAGE2]) await ensureChain(netns, family, 'filter', chain);
  // Each goes to the head, so this one comes before the rules that accept.
  const rules = [...comment(`CNI firewall plugin rules (ingressPolicy: ${policy})`), '-j', STAGE1];
  await ensureRule(netns, family, 'filter', 'FORWARD', rules);
  // The device of a single pod ends with it, and so do its rules.
  const { name, isShared } = guarded;
  const mark = isShared ? [] : comment(callTag(call));
  const drop = ['-o', name, ...mark, '-j', 'DROP'];
  if (policy === 'isolated') await ensureRule(netns, family, 'filter', STAGE1, ['-i', name, ...drop]);
  await ensureRule(netns, family, 'filter', STAGE1, ['-i', name, '!', '-o', name, ...mark, '-j', STAGE2]);
  await ensureRule(netns, family, 'filter', STAGE2, drop);
}

/** Keeps the guarded device apart from those of other networks, in the families in which the pod has an address. */
export async function guardDevice(call: Call, rules: FirewallRules): Promise<void> {
  for (const family of FAMILIES)
    if (ofFamily(rules.addresses, family).length > 0)
      await withChainsLock(() => ensureGuard(call, family, rules));
}

function podRules(call: Call, address: string): string[] {
  return [
    `-A ${FORWARD} -d ${address} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-A ${FORWARD} -s ${address} -j ACCEPT`,
    `-A ${OWNERS} -s ${address} -m comment --comment ${callTag(call)}`,
  ];
}

const ofFamily = (addresses: readonly string[], family: Family) =>
  addresses.filter(one => isV6(one) === (family === 6));

export const iptablesFirewall: RuleBackend<FirewallRules> = {
  async add(call, rules) {
    const { netns } = call.host;
    for (const family of FAMILIES) {
      const own = ofFamily(rules.addresses, family);
      if (own.length === 0) continue;
      await withChainsLock(async () => {
        await ensureChains(netns, family, rules);
        await ensureGuard(call, family, rules);
      });
      // What an earlier owner of the address has left.
      await removeRules(
        netns,
        () => false,
        address => own.includes(address),
        [family],
      );
      const lines = own.flatMap(one => podRules(call, one));
      await applyLines(netns, family, 'filter', lines);
    }
  },

  /** The reference records no owner: its rules are found by the addresses, where a previous result has them. */
  async remove(call) {
    const previous = readPrevResult(call);
    const addresses = previous ? podAddresses(previous) : [];
    const own = callTag(call);
    await removeRules(
      call.host.netns,
      tag => tag === own,
      (address, tag) => tag === own || (tag === undefined && addresses.includes(address)),
    );
  },

  /** An address has two rules, and a jump to their chain. */
  async check(call, { addresses }) {
    const missing: string[] = [];
    for (const family of FAMILIES) {
      const own = ofFamily(addresses, family);
      if (own.length === 0) continue;
      const variants = await acceptingRules(call, family);
      missing.push(...own.filter(one => !variants.some(rules => countOf(rules, one) >= 2)));
    }
    return missing;
  },

  async gc(call, valid) {
    const isStale = staleTags(call.name, valid);
    await removeRules(call.host.netns, isStale, (_address, tag) => tag !== undefined && isStale(tag));
  },
};

function tagOfRule(rule: string): string | undefined {
  const words = splitRule(rule);
  const at = words.indexOf('--comment');
  return at < 0 ? undefined : words[at + 1];
}

/** The address that a rule is about, without its length. */
function addressOfRule(rule: string): string | undefined {
  const words = splitRule(rule);
  const at = words.findIndex(word => word === '-s' || word === '-d');
  return at < 0 ? undefined : hostPart(words[at + 1] ?? '');
}

/**
 * Removes the rules with a tag that `ofTag` accepts, and the untagged ones of addresses that `ofAddress` accepts.
 * @param ofAddress gets the address and the tag of its owner, undefined where none is recorded
 */
async function removeRules(
  netns: string,
  ofTag: (tag: string) => boolean,
  ofAddress: (address: string, owner: string | undefined) => boolean,
  families: readonly Family[] = FAMILIES,
): Promise<void> {
  for (const family of families)
    for (const variant of await variantsInUse(netns, family, 'filter', FORWARD)) {
      const saved = await saveIptables(netns, family, 'filter', variant);
      const owners = rulesOfChain(saved, OWNERS).map(rule => [addressOfRule(rule), tagOfRule(rule)] as const);
      const ownerOf = new Map(owners);
      const isWanted = (rule: string) => {
        const tag = tagOfRule(rule);
        const isOwner = rule.startsWith(`-A ${OWNERS} `);
        if (tag !== undefined && !isOwner) return ofTag(tag);
        const address = addressOfRule(rule);
        return address !== undefined && ofAddress(address, isOwner ? tag : ownerOf.get(address));
      };
      const stale = [FORWARD, STAGE1, STAGE2, OWNERS]
        .flatMap(chain => rulesOfChain(saved, chain))
        .filter(isWanted);
      if (stale.length > 0) await applyLines(netns, family, 'filter', stale.map(deletionOf), variant);
    }
}

/** Per variant: words of the rules that accept, of this attachment and of the reference plugin, whose rules carry no name. */
async function acceptingRules(call: Call, family: Family): Promise<string[][][]> {
  const { netns } = call.host;
  const tag = callTag(call);
  const found: string[][][] = [];
  for (const variant of await variantsInUse(netns, family, 'filter', FORWARD)) {
    const saved = await saveIptables(netns, family, 'filter', variant);
    if (!rulesOfChain(saved, 'FORWARD').some(rule => splitRule(rule).at(-1) === FORWARD)) continue;
    const rules = rulesOfChain(saved, FORWARD).filter(rule => [tag, undefined].includes(tagOfRule(rule)));
    found.push(rules.map(splitRule).filter(words => words.at(-1) === 'ACCEPT'));
  }
  return found;
}

const countOf = (rules: readonly string[][], address: string) =>
  rules.filter(words => words.some(word => hostPart(word) === address)).length;
