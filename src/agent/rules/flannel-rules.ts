import type { Family } from '../../ip/address.ts';
import {
  restoreIptables,
  rulesOfChain,
  saveIptables,
  type Variant,
  variantsInUse,
} from '../../net/iptables.ts';
import { splitRule } from '../../net/iptables-words.ts';
import { applyNftScript } from '../../net/nft/nft.ts';
import { hasNftTable } from '../../net/nft/presence.ts';

/** flannel's tables and chains, which it does not remove when it ends. */
const NFT_TABLES = [
  ['ip', 'flannel-ipv4'],
  ['ip6', 'flannel-ipv6'],
] as const;
const CHAINS = [
  { table: 'nat', name: 'FLANNEL-POSTRTG', hook: 'POSTROUTING' },
  { table: 'filter', name: 'FLANNEL-FWD', hook: 'FORWARD' },
] as const;
const FAMILIES: readonly Family[] = [4, 6];

/** One table or chain of flannel. */
interface FlannelRules {
  /** As in `iptables chain FLANNEL-FWD`. */
  readonly name: string;
  remove(): Promise<void>;
}

async function findFlannelRules(netns: string): Promise<FlannelRules[]> {
  const found: FlannelRules[] = [];
  for (const [family, name] of NFT_TABLES)
    if (hasNftTable(netns, family, name))
      found.push({
        name: `nftables table ${family} ${name}`,
        remove: () => applyNftScript(netns, `delete table ${family} ${name}\n`),
      });
  // flannel's image has its own iptables: its chains may be in either variant of the host.
  for (const family of FAMILIES)
    for (const chain of CHAINS)
      for (const variant of await variantsInUse(netns, family, chain.table)) {
        const saved = await saveIptables(netns, family, chain.table, variant);
        if (saved.includes(`\n:${chain.name} `))
          found.push(flannelChain(netns, family, variant, chain, saved));
      }
  return found;
}

function flannelChain(
  netns: string,
  family: Family,
  variant: Variant,
  { table, name, hook }: (typeof CHAINS)[number],
  saved: string,
): FlannelRules {
  const jumps = rulesOfChain(saved, hook).filter(line => splitRule(line).includes(name));
  const lines = [
    `*${table}`,
    `:${name} - [0:0]`,
    ...jumps.map(line => line.replace(/^-A/, '-D')),
    `-X ${name}`,
    'COMMIT',
    '',
  ];
  const tool = `${family === 4 ? 'iptables' : 'ip6tables'}${variant === 'legacy' ? '-legacy' : ''}`;
  return {
    name: `${tool} chain ${name}`,
    remove: () => restoreIptables(netns, family, lines.join('\n'), variant),
  };
}

/** Names of the tables and chains of flannel on this node. @throws RipstopError, NetError */
export async function flannelRules(netns: string): Promise<string[]> {
  return (await findFlannelRules(netns)).map(({ name }) => name);
}

/**
 * Removes flannel's rules from a node that moved to Ripstop. The rules of the agent stay.
 * @returns what was removed, one line per table or chain
 * @throws RipstopError, NetError
 */
export async function removeFlannelRules(netns: string): Promise<string[]> {
  const removed: string[] = [];
  for (const { name, remove } of await findFlannelRules(netns)) {
    await remove();
    removed.push(name);
  }
  return removed;
}
