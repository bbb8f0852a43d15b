import { commentedRules } from '../../net/nft/comments.ts';
import { applyNft, type NftObject } from '../../net/nft/nft.ts';
import type { NftTableFamily } from '../../net/nft/query.ts';

/*
 * What the reference plugins keep in nftables is a rule per pod with a comment that names the attachment. Such rules are
 * found by their comments, whichever project made them.
 */

export interface RuleChain {
  family: NftTableFamily;
  table: string;
  chain: string;
}

type Wanted = (comment: string) => boolean;

/** The commands that remove the rules whose comment `wanted` accepts. */
export function ruleDeletions(
  netns: string,
  { family, table, chain }: RuleChain,
  wanted: Wanted,
): NftObject[] {
  return commentedRules(netns, family, table, chain)
    .filter(rule => wanted(rule.comment))
    .map(({ handle }) => ({ delete: { rule: { family, table, chain, handle } } }));
}

/** Removes the rules whose comment `wanted` accepts. */
export async function removeRules(
  netns: string,
  chains: readonly RuleChain[],
  wanted: Wanted,
): Promise<void> {
  await applyNft(
    netns,
    chains.flatMap(one => ruleDeletions(netns, one, wanted)),
  );
}

/** How many rules have an accepted comment. */
export function countRules(netns: string, chains: readonly RuleChain[], wanted: Wanted): number {
  const rules = chains.flatMap(({ family, table, chain }) => commentedRules(netns, family, table, chain));
  return rules.filter(rule => wanted(rule.comment)).length;
}
