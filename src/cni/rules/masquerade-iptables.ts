import { createHash } from 'node:crypto';
import type { Family } from '../../net/address-text.ts';
import { canonicalAddress, canonicalNetwork } from '../../net/address-text.ts';
import {
  restoreIptables,
  rulesOfChain,
  saveIptables,
  splitRule,
  type Variant,
  variantsInUse,
} from '../../net/iptables.ts';
import type { Attachment } from '../config/network.ts';
import { type AssignedAddress, isV6 } from '../result/types.ts';

/*
 * The reference plugins' rules, by the same names: a chain an attachment that accepts the subnet and masquerades the
 * rest, jumped to from POSTROUTING by source address. Either program can take away what the other one made.
 */

export interface Owner {
  network: string;
  containerId: string;
}

function chainOf({ network, containerId }: Owner): string {
  return `CNI-${createHash('sha512')
    .update(network + containerId)
    .digest('hex')
    .slice(0, 24)}`;
}

function commentOf({ network, containerId }: Owner): string {
  return `name: "${network}" id: "${containerId}"`;
}

/** iptables-save's form of a text: in quotes, quotes inside escaped. */
function quoted(text: string): string {
  return `"${text.replace(/(["\\])/g, '\\$1')}"`;
}

export async function masqueradeIptables(
  netns: string,
  owner: Owner,
  ips: readonly AssignedAddress[],
): Promise<void> {
  const chain = chainOf(owner);
  const comment = `-m comment --comment ${quoted(commentOf(owner))}`;
  for (const family of [4, 6] as const) {
    const own = ips.filter(one => isV6(one.address) === (family === 6));
    if (own.length === 0) continue;
    const multicast = family === 6 ? 'ff00::/8' : '224.0.0.0/4';
    const lines = own.flatMap(({ address }) => [
      `-A ${chain} -d ${canonicalNetwork(address)} ${comment} -j ACCEPT`,
      `-A ${chain} ! -d ${multicast} ${comment} -j MASQUERADE`,
      `-A POSTROUTING -s ${address.split('/')[0]} ${comment} -j ${chain}`,
    ]);
    await restoreIptables(netns, family, ['*nat', `:${chain} - [0:0]`, ...lines, 'COMMIT', ''].join('\n'));
  }
}

/** Takes away the attachments' chains that `wanted` accepts, with the jumps to them; jumps may be lost already. */
async function removeChains(
  netns: string,
  family: Family,
  variant: Variant,
  wanted: (chain: string, rules: readonly string[]) => boolean,
): Promise<void> {
  const saved = await saveIptables(netns, family, 'nat', variant);
  const chains = [...saved.matchAll(/^:(CNI-[0-9a-f]{24}) /gm)].map(match => match[1]!);
  const stale = chains.filter(chain => wanted(chain, rulesOfChain(saved, chain)));
  if (stale.length === 0) return;
  const jumps = rulesOfChain(saved, 'POSTROUTING').filter(rule => stale.includes(splitRule(rule).at(-1)!));
  const lines = [
    '*nat',
    ...jumps.map(rule => rule.replace(/^-A/, '-D')),
    ...stale.flatMap(chain => [`-F ${chain}`, `-X ${chain}`]),
    'COMMIT',
    '',
  ];
  await restoreIptables(netns, family, lines.join('\n'), variant);
}

/** Takes the attachment's chain away, in whichever variant of iptables it is. */
export async function unmasqueradeIptables(netns: string, owner: Owner): Promise<void> {
  const own = chainOf(owner);
  for (const family of [4, 6] as const)
    for (const variant of await variantsInUse(netns, family, 'nat', own))
      await removeChains(netns, family, variant, chain => chain === own);
}

/** Takes away the chains of this network whose container no attachment is alive of. */
export async function collectIptables(
  netns: string,
  network: string,
  valid: readonly Attachment[],
): Promise<void> {
  const living = new Set(valid.map(one => chainOf({ network, containerId: one.containerID })));
  const mark = `name: "${network}" id: `;
  const ours = (rules: readonly string[]) =>
    rules.some(rule => splitRule(rule).some(word => word.startsWith(mark)));
  for (const family of [4, 6] as const)
    for (const variant of await variantsInUse(netns, family, 'nat'))
      await removeChains(netns, family, variant, (chain, rules) => !living.has(chain) && ours(rules));
}

const hostOf = ({ address }: AssignedAddress) => canonicalAddress(address.split('/')[0]!);

/** True when the jump of the attachment is there for every address, in one of the variants. */
export async function isMasqueradedIptables(
  netns: string,
  owner: Owner,
  ips: readonly AssignedAddress[],
): Promise<boolean> {
  const chain = chainOf(owner);
  for (const family of [4, 6] as const) {
    const own = ips.filter(one => isV6(one.address) === (family === 6));
    if (own.length === 0) continue;
    if (!(await leadsTo(netns, family, chain, own))) return false;
  }
  return true;
}

async function leadsTo(
  netns: string,
  family: Family,
  chain: string,
  ips: readonly AssignedAddress[],
): Promise<boolean> {
  for (const variant of await variantsInUse(netns, family, 'nat', chain)) {
    const saved = await saveIptables(netns, family, 'nat', variant);
    const jumps = rulesOfChain(saved, 'POSTROUTING')
      .map(splitRule)
      .filter(words => words.at(-1) === chain);
    const sources = jumps.map(words => words[words.indexOf('-s') + 1]?.split('/')[0]);
    if (ips.every(one => sources.includes(hostOf(one)))) return true;
  }
  return false;
}
