import { restoreIptables, rulesOfChain, saveIptables, splitRule } from '../../net/iptables.ts';
import { applyNftScript, listNft } from '../../net/nft/nft.ts';

/** flannel's tables and chains, which it does not remove when it ends. */
const NFT_TABLES = [
  ['ip', 'flannel-ipv4'],
  ['ip6', 'flannel-ipv6'],
] as const;
const CHAINS = [
  { table: 'nat', name: 'FLANNEL-POSTRTG', hook: 'POSTROUTING' },
  { table: 'filter', name: 'FLANNEL-FWD', hook: 'FORWARD' },
] as const;

/** Removes flannel's rules from a node that moved to Ripstop. @returns what was removed, one line per table or chain */
export async function removeFlannelRules(netns: string): Promise<string[]> {
  const removed: string[] = [];
  for (const [family, name] of NFT_TABLES) {
    const found = await listNft(netns, ['table', family, name]).catch(() => []);
    if (found.length === 0) continue;
    await applyNftScript(netns, `delete table ${family} ${name}\n`);
    removed.push(`nftables table ${family} ${name}`);
  }
  for (const family of [4, 6] as const)
    for (const { table, name, hook } of CHAINS) {
      const saved = await saveIptables(netns, family, table).catch(() => '');
      if (!saved.includes(`\n:${name} `)) continue;
      const jumps = rulesOfChain(saved, hook).filter(line => splitRule(line).includes(name));
      const lines = [
        `*${table}`,
        `:${name} - [0:0]`,
        ...jumps.map(line => line.replace(/^-A/, '-D')),
        `-X ${name}`,
        'COMMIT',
        '',
      ];
      await restoreIptables(netns, family, lines.join('\n'));
      removed.push(`${family === 4 ? 'iptables' : 'ip6tables'} chain ${name}`);
    }
  return removed;
}
