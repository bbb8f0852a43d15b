import { applyNft, listNft, type NftObject } from '../../net/nft.ts';

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

/** Elements with a comment of one set or map of the table; none when that is not there. */
export async function listElements(
  netns: string,
  family: NftFamily,
  kind: 'set' | 'map',
  set: string,
): Promise<Element[]> {
  const objects = await listNft(netns, [kind, family, TABLE, set]);
  return objects.flatMap(object => elementsOf(object[kind], set));
}

function elementsOf(description: unknown, set: string): Element[] {
  const { elem } = (description ?? {}) as { elem?: unknown[] };
  return (elem ?? []).flatMap(entry => {
    const [key, value] = Array.isArray(entry) ? entry : [entry, undefined];
    const inner = (key as { elem?: { val: unknown; comment?: string } }).elem;
    return inner?.comment === undefined ? [] : [{ set, key: inner.val, value, comment: inner.comment }];
  });
}

/** Takes elements away in one transaction. */
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
  return comment.split(' ', 1)[0]!;
}

/**
 * Takes away the elements of `sets` whose tag `wanted` accepts.
 * @returns how many there were
 */
export async function removeTagged(
  netns: string,
  family: NftFamily,
  sets: readonly { kind: 'set' | 'map'; name: string }[],
  wanted: (tag: string) => boolean,
): Promise<number> {
  const lists = await Promise.all(sets.map(({ kind, name }) => listElements(netns, family, kind, name)));
  const stale = lists.flat().filter(element => wanted(tagIn(element.comment)));
  await deleteElements(netns, family, stale);
  return stale.length;
}
