import type { Family } from '../../ip/address.ts';
import type { Variant } from '../iptables.ts';
import type { NftObject } from '../nft/nft.ts';
import { readIptablesTable } from './iptables-table.ts';
import type { FilterTable } from './model.ts';
import { readNftTables } from './nft-tables.ts';

/** Tables of iptables with a chain in the forward or input hook. */
export const TABLES: readonly string[] = ['filter', 'mangle', 'security'];

/** The rules of a namespace as their programs print them. */
export interface FilterSources {
  readonly iptables: readonly {
    readonly family: Family;
    readonly table: string;
    readonly variant: Variant;
    /** As `iptables-save` prints them. */
    readonly lines: readonly string[];
  }[];
  /** Objects of `nft -j list ruleset`. */
  readonly nftables: readonly NftObject[];
}

/** The packet filter rules in these texts. Reads no file and starts no program. */
export function filterTablesOf({ iptables, nftables }: FilterSources): FilterTable[] {
  const filters = iptables.filter(({ table }) => TABLES.includes(table));
  const readAlready = new Set(
    filters
      .filter(({ variant }) => variant === 'nft')
      .map(({ family, table }) => `${family === 4 ? 'ip' : 'ip6'} ${table}`),
  );
  return [
    ...filters.map(({ family, table, variant, lines }) =>
      readIptablesTable(lines.join('\n'), table, family, variant),
    ),
    ...readNftTables(nftables, (family, table) => readAlready.has(`${family} ${table}`)),
  ];
}
