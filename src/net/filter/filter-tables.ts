import { hasCode } from '../../base/errors.ts';
import type { Family } from '../../ip/address.ts';
import { saveIptables, type Variant, variantsInUse } from '../iptables.ts';
import { listNft } from '../nft/nft.ts';
import { type FilterSources, filterTablesOf, TABLES } from './filter-sources.ts';
import { readIptablesTable } from './iptables-table.ts';
import type { FilterTable } from './model.ts';

const FAMILIES: readonly Family[] = [4, 6];

/**
 * The packet filter rules of a namespace: those of nftables and of both variants of iptables.
 * @throws RipstopError, NetError
 */
export async function readFilterTables(netns: string): Promise<FilterTable[]> {
  return filterTablesOf(await readFilterSources(netns));
}

/**
 * The same rules as their programs print them.
 * @param tables of iptables
 * @throws RipstopError, NetError
 */
export async function readFilterSources(
  netns: string,
  tables: readonly string[] = TABLES,
): Promise<FilterSources> {
  const iptables: FilterSources['iptables'][number][] = [];
  for (const family of FAMILIES)
    for (const table of tables)
      for (const variant of await variantsInUse(netns, family, table)) {
        const saved = await savedTable(netns, family, table, variant);
        if (saved !== undefined) iptables.push({ family, table, variant, lines: saved.split('\n') });
      }
  const nftables = await listNft(netns, ['ruleset']).catch(error => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
  return { iptables, nftables };
}

/** One table of iptables; undefined where `nft` itself made it in a form that iptables cannot show. */
export async function readTable(
  netns: string,
  family: Family,
  table: string,
  variant: Variant,
): Promise<FilterTable | undefined> {
  const saved = await savedTable(netns, family, table, variant);
  return saved === undefined ? undefined : readIptablesTable(saved, table, family, variant);
}

async function savedTable(
  netns: string,
  family: Family,
  table: string,
  variant: Variant,
): Promise<string | undefined> {
  try {
    return await saveIptables(netns, family, table, variant);
  } catch (error) {
    if (hasCode(error, 'ECOMMAND')) return undefined;
    throw error;
  }
}
