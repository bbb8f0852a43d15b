import {
  restoreIptables,
  rulesOfChain,
  saveIptables,
  splitRule,
  variantsInUse,
} from '../../../net/iptables.ts';
import type { Attachment } from '../../config/network.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import { isV6 } from '../../result/types.ts';
import { ensureChain, ensureRule, withChainsLock } from '../../rules/iptables-chains.ts';
import type { Call } from '../../skel/plugin.ts';
import type { FirewallConfig } from './config.ts';

/*
 * The reference plugin's chains: CNI-FORWARD, reached first from FORWARD, asks the administrator's chain and accepts
 * what belongs to pods; CNI-ISOLATION-STAGE-1 and -2 drop between bridges. Our rules carry the attachment's tag, so
 * that DEL needs no address.
 */

const FORWARD = 'CNI-FORWARD';
const STAGE1 = 'CNI-ISOLATION-STAGE-1';
const STAGE2 = 'CNI-ISOLATION-STAGE-2';
const comment = (text: string) => ['-m', 'comment', '--comment', text];

async function ensureChains(
  netns: string,
  family: 4 | 6,
  config: FirewallConfig,
  bridge: string | undefined,
): Promise<void> {
  for (const chain of [config.adminChain, FORWARD]) await ensureChain(netns, family, 'filter', chain);
  const admin = [...comment('CNI firewall plugin admin overrides'), '-j', config.adminChain];
  await ensureRule(netns, family, 'filter', FORWARD, admin);
  const jump = [...comment('CNI firewall plugin rules'), '-j', FORWARD];
  await ensureRule(netns, family, 'filter', 'FORWARD', jump);
  if (!bridge) return;
  for (const chain of [STAGE1, STAGE2]) await ensureChain(netns, family, 'filter', chain);
  // Each goes to the head, so this one comes before the rules that accept.
  const rules = [...comment(`CNI firewall plugin rules (ingressPolicy: ${config.policy})`), '-j', STAGE1];
  await ensureRule(netns, family, 'filter', 'FORWARD', rules);
  const drop = ['-o', bridge, '-j', 'DROP'];
  if (config.policy === 'isolated')
    await ensureRule(netns, family, 'filter', STAGE1, ['-i', bridge, ...drop]);
  await ensureRule(netns, family, 'filter', STAGE1, ['-i', bridge, '!', '-o', bridge, '-j', STAGE2]);
  await ensureRule(netns, family, 'filter', STAGE2, drop);
}

function podRules(call: Call, address: string): string[] {
  const mark = `-m comment --comment ${callTag(call)}`;
  return [
    `-A ${FORWARD} -d ${address} -m conntrack --ctstate RELATED,ESTABLISHED ${mark} -j ACCEPT`,
    `-A ${FORWARD} -s ${address} ${mark} -j ACCEPT`,
  ];
}

/** Lets the pod's traffic pass, and shuts its bridge as the policy says. */
export async function openIptables(
  call: Call,
  config: FirewallConfig,
  addresses: readonly string[],
  bridge: string | undefined,
): Promise<void> {
  const { netns } = call.host;
  for (const family of [4, 6] as const) {
    const own = addresses.filter(one => isV6(one) === (family === 6));
    if (own.length === 0) continue;
    await withChainsLock(() => ensureChains(netns, family, config, bridge));
    await restoreIptables(
      netns,
      family,
      ['*filter', ...own.flatMap(one => podRules(call, one)), 'COMMIT', ''].join('\n'),
    );
  }
}

function tagOfRule(rule: string): string | undefined {
  const words = splitRule(rule);
  const at = words.indexOf('--comment');
  return at < 0 ? undefined : words[at + 1];
}

async function removeRules(netns: string, wanted: (rule: string) => boolean): Promise<void> {
  for (const family of [4, 6] as const)
    for (const variant of await variantsInUse(netns, family, 'filter', FORWARD)) {
      const saved = await saveIptables(netns, family, 'filter', variant);
      const stale = rulesOfChain(saved, FORWARD).filter(wanted);
      if (stale.length === 0) continue;
      const lines = ['*filter', ...stale.map(rule => rule.replace(/^-A/, '-D')), 'COMMIT', ''];
      await restoreIptables(netns, family, lines.join('\n'), variant);
    }
}

/** @param addresses of the pod, where they are known: the reference plugin's rules are told by them alone */
export async function closeIptables(call: Call, addresses: readonly string[]): Promise<void> {
  const tag = callTag(call);
  const theirs = (rule: string) => {
    const words = splitRule(rule);
    const at = words.findIndex(word => word === '-s' || word === '-d');
    return tagOfRule(rule) === undefined && at > 0 && addresses.includes(words[at + 1]!.split('/')[0]!);
  };
  await removeRules(call.host.netns, rule => tagOfRule(rule) === tag || theirs(rule));
}

export async function collectIptables(call: Call, valid: readonly Attachment[]): Promise<void> {
  const stale = staleTags(call.name, valid);
  await removeRules(call.host.netns, rule => stale(tagOfRule(rule) ?? ''));
}

/** The addresses of which a rule, or the way to it, is missing in every variant of iptables. */
export async function missingIptables(call: Call, addresses: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const family of [4, 6] as const) {
    const own = addresses.filter(one => isV6(one) === (family === 6));
    if (own.length === 0) continue;
    const there = await acceptedIn(call, family);
    missing.push(...own.filter(one => !there.some(rules => countOf(rules, one) >= 2)));
  }
  return missing;
}

/** Per variant: words of the rules that accept, of this attachment and of the reference plugin, which names nobody. */
async function acceptedIn(call: Call, family: 4 | 6): Promise<string[][][]> {
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
  rules.filter(words => words.some(word => word.split('/')[0] === address)).length;
