import { hasCode } from '../../base/errors.ts';
import type { Family } from '../../ip/address.ts';
import { saveIptables, type Variant, variantsInUse } from '../iptables.ts';
import { listNft } from '../nft/nft.ts';
import { readIptablesTable } from './iptables-table.ts';
import type { FilterTable } from './model.ts';
import { readNftTables } from './nft-tables.ts';

/** Tables of iptables with a chain in the forward or input hook. */
const TABLES = ['filter', 'mangle', 'security'] as const;
const FAMILIES: readonly Family[] = [4, 6];

/**
 * The packet filter rules of a namespace: those of nftables and of both variants of iptables.
 * @throws RipstopError, NetError
 */
export async function readFilterTables(netns: string): Promise<FilterTable[]> {
  const found: FilterTable[] = [];
  const readAlready = new Set<string>();
  for (const family of FAMILIES)
    for (const table of TABLES)
      for (const variant of await variantsInUse(netns, family, table)) {
        const saved = await readTable(netns, family, table, variant);
        if (!saved) continue;
        found.push(saved);
        if (variant === 'nft') readAlready.add(`${family === 4 ? 'ip' : 'ip6'} ${table}`);
      }
  const objects = await listNft(netns, ['ruleset']).catch(error => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
  const isLeftOut = (family: string, table: string): boolean => readAlready.has(`${family} ${table}`);
  return [...found, ...readNftTables(objects, isLeftOut)];
}

/** One table of iptables; undefined where `nft` itself made it in a form that iptables cannot show. */
export async function readTable(
  netns: string,
  family: Family,
  table: string,
  variant: Variant,
): Promise<FilterTable | undefined> {
  try {
    return readIptablesTable(await saveIptables(netns, family, table, variant), table, family, variant);
  } catch (error) {
    if (hasCode(error, 'ECOMMAND')) return undefined;
    throw error;
  }
}
