import type { NftObject } from '../nft/nft.ts';
import type { Action, FilterChain, FilterRule, FilterTable } from './model.ts';
import { fields, type NftSets, nftCondition, nftMapCondition } from './nft-condition.ts';
import { nftText } from './nft-text.ts';

/** Families of the tables that see routed packets. */
const FAMILIES: Readonly<Record<string, FilterTable['family']>> = { ip: 4, ip6: 6, inet: 'both' };

interface RawTable {
  readonly sets: Map<string, readonly unknown[]>;
  readonly chains: Map<string, FilterChain & { rules: FilterRule[] }>;
}

/**
 * The tables of a listing by `nft -j list ruleset`.
 * @param isLeftOut tables that are read in another way
 */
export function readNftTables(
  objects: readonly NftObject[],
  isLeftOut: (family: string, table: string) => boolean = () => false,
): FilterTable[] {
  const tables = new Map<string, RawTable>();
  const tableOf = (family: unknown, name: unknown): RawTable | undefined => {
    if (FAMILIES[String(family)] === undefined || isLeftOut(String(family), String(name))) return undefined;
    const key = `${family} ${name}`;
    const known = tables.get(key) ?? { sets: new Map(), chains: new Map() };
    tables.set(key, known);
    return known;
  };
  for (const object of objects) {
    const set = fields(object.set) ?? fields(object.map);
    if (set) tableOf(set.family, set.table)?.sets.set(String(set.name), listOf(set.elem));
    const chain = fields(object.chain);
    if (chain)
      tableOf(chain.family, chain.table)?.chains.set(String(chain.name), {
        name: String(chain.name),
        hook: chain.hook === undefined ? undefined : String(chain.hook),
        policy: chain.policy === 'drop' ? 'drop' : 'accept',
        rules: [],
      });
  }
  for (const object of objects) {
    const rule = fields(object.rule);
    const table = rule && tableOf(rule.family, rule.table);
    if (table) table.chains.get(String(rule.chain))?.rules.push(readRule(listOf(rule.expr), table.sets));
  }
  return Array.from(tables, ([key, { chains }]) => ({
    name: `nftables table ${key}`,
    tool: 'nftables' as const,
    family: FAMILIES[key.split(' ')[0] ?? ''] ?? 'both',
    chains,
  }));
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === undefined ? [] : [value];
}

function readRule(statements: readonly unknown[], sets: NftSets): FilterRule {
  const conditions: FilterRule['conditions'][number][] = [];
  const actions: FilterRule['actions'][number][] = [];
  for (const raw of statements) {
    const statement = fields(raw);
    if (!statement) continue;
    const condition = nftCondition(statement, sets);
    if (condition) conditions.push(condition);
    const vmap = fields(statement.vmap);
    if (vmap) actions.push(...mapActions(vmap, sets));
    const action = verdictOf(statement);
    if (action) actions.push({ action });
  }
  return { text: nftText(statements), conditions, actions };
}

/** The entries of a verdict map, each with its condition. */
function mapActions(
  { key, data }: Readonly<Record<string, unknown>>,
  sets: NftSets,
): FilterRule['actions'][number][] {
  const entries =
    typeof data === 'string' ? (sets.get(data.replace('@', '')) ?? []) : listOf(fields(data)?.set);
  return entries.flatMap(entry => {
    const [element, verdict] = listOf(entry);
    const action = verdictOf(fields(verdict) ?? {});
    return action ? [{ condition: nftMapCondition(key, element, sets), action }] : [];
  });
}

function verdictOf(statement: Readonly<Record<string, unknown>>): Action | undefined {
  if ('accept' in statement) return { do: 'accept' };
  if ('drop' in statement || 'reject' in statement) return { do: 'drop' };
  if ('return' in statement) return { do: 'return' };
  for (const name of ['jump', 'goto'] as const) {
    const target = fields(statement[name])?.target;
    if (target !== undefined) return { do: name, chain: String(target) };
  }
  return undefined;
}
