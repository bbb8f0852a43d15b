import { applyNft, listNft, type NftObject } from '../../net/nft/nft.ts';
import { hasNftTable } from '../../net/nft/presence.ts';

/** The one table of all plugins; where a chain of another tool stands is of no matter to it. */
export const TABLE = 'ripstop_cni';

/** Priority of destination and source translation (linux/netfilter_ipv4.h). */
export const DSTNAT = -100;
export const SRCNAT = 100;

export type NftFamily = 'inet' | 'bridge';

/** One element of a set or map: its key as libnftables' JSON has it, and its comment. */
export interface Element {
  set: string;
  key: unknown;
  /** What a map has it mapped to; undefined in a set. */
  value: unknown;
  comment: string;
}

/** A set or map as nft names it: `map masquerade4`. */
export type SetName = `${'set' | 'map'} ${string}`;

/** Elements with a comment in the sets and maps of the table; none of those that are not there. */
export async function listElements(
  netns: string,
  family: NftFamily,
  sets: readonly SetName[],
): Promise<Element[]> {
  const found: Element[] = [];
  if (!hasNftTable(netns, family, TABLE)) return found;
  for (const set of sets) {
    const [kind, name] = set.split(' ') as [string, string];
    // One by one: the table may hold a thousand elements that are none of theirs.
    found.push(...elementsIn(await listNft(netns, [kind, family, TABLE, name]), [name]));
  }
  return found;
}

/** The elements with a comment of the named sets and maps in a listing of the table. */
export function elementsIn(objects: readonly NftObject[], sets: readonly string[]): Element[] {
  return objects.flatMap(object => elementsOf(object.set ?? object.map, sets));
}

function elementsOf(description: unknown, sets: readonly string[]): Element[] {
  const { name = '', elem } = (description ?? {}) as { name?: string; elem?: unknown[] };
  if (!sets.includes(name)) return [];
  return (elem ?? []).flatMap(entry => {
    const [key, value] = Array.isArray(entry) ? entry : [entry, undefined];
    const inner = (key as { elem?: { val: unknown; comment?: string } }).elem;
    return inner?.comment === undefined ? [] : [{ set: name, key: inner.val, value, comment: inner.comment }];
  });
}

/** Removes elements in one transaction. */
export async function deleteElements(
  netns: string,
  family: NftFamily,
  elements: readonly Element[],
): Promise<void> {
  if (elements.length === 0) return;
  const commands = elements.map(
    ({ set, key }): NftObject => ({ delete: { element: { family, table: TABLE, name: set, elem: [key] } } }),
  );
  await applyNft(netns, commands);
}

/** The tag at the beginning of a comment; a person's words may follow it. */
export function tagIn(comment: string): string {
  return comment.replace(/ .*$/s, '');
}

/** Elements of `sets` whose tag `wanted` accepts. */
export async function listTagged(
  netns: string,
  family: NftFamily,
  sets: readonly SetName[],
  wanted: (tag: string) => boolean,
): Promise<Element[]> {
  const elements = await listElements(netns, family, sets);
  return elements.filter(element => wanted(tagIn(element.comment)));
}

/** Removes the elements of `sets` whose tag `wanted` accepts. */
export async function removeTagged(
  netns: string,
  family: NftFamily,
  sets: readonly SetName[],
  wanted: (tag: string) => boolean,
): Promise<void> {
  await deleteElements(netns, family, await listTagged(netns, family, sets, wanted));
}

/** Removes the tables of all plugins. @returns what was removed */
export async function removeOwnTables(netns: string): Promise<string[]> {
  const families = (['inet', 'bridge'] as const).filter(family => hasNftTable(netns, family, TABLE));
  const remove = families.map((family): NftObject => ({ delete: { table: { family, name: TABLE } } }));
  if (remove.length > 0) await applyNft(netns, remove);
  return families.map(family => `nftables table ${family} ${TABLE}`);
}
