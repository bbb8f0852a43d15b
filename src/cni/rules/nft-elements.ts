import { commentedRules } from '../../net/nft/comments.ts';
import { applyNft, listNft, type NftObject } from '../../net/nft/nft.ts';
import { hasNftTable, type NftTableFamily } from '../../net/nft/presence.ts';
import type { Attachment } from '../config/network.ts';
import { callTag, staleTags } from '../link/tag.ts';
import type { Call } from '../skel/plugin.ts';

/** The table that all plugins share. */
export const TABLE = 'ripstop_cni';

/** The table of the masquerading, shared with the reference plugins. */
export const MASQUERADE_TABLE = 'cni_plugins_masquerade';

/** Priority of destination and source translation (linux/netfilter_ipv4.h). */
export const DSTNAT = -100;
export const SRCNAT = 100;

/** One element of a set or map: its key as libnftables' JSON has it, and its comment. */
export interface Element {
  set: string;
  key: unknown;
  /** What a map has it mapped to; undefined in a set. */
  value: unknown;
  comment: string;
}

/** A set or map as nft names it: `map masquerade4`. */
type SetName = `${'set' | 'map'} ${string}`;

/** Elements with a comment in the sets and maps of the table; none of those that are not there. */
export async function listElements(
  netns: string,
  family: NftTableFamily,
  sets: readonly SetName[],
): Promise<Element[]> {
  const found: Element[] = [];
  if (!hasNftTable(netns, family, TABLE)) return found;
  for (const set of sets) {
    const [kind, name] = set.split(' ') as [string, string];
    // One set at a time: the table may have thousands of elements in other sets.
    found.push(...elementsIn(await listNft(netns, [kind, family, TABLE, name]), [name]));
  }
  return found;
}

/** The elements with a comment of the named sets and maps in a listing of the table. */
export function elementsIn(objects: readonly NftObject[], sets: readonly string[]): Element[] {
  return objects.flatMap(object => elementsOf(object.set ?? object.map, sets));
}

/** Another program may have changed the table: what has not the form of a tagged element is none. */
function elementsOf(description: unknown, sets: readonly string[]): Element[] {
  const { name, elem } = (description ?? {}) as { name?: unknown; elem?: unknown };
  if (typeof name !== 'string' || !sets.includes(name) || !Array.isArray(elem)) return [];
  return elem.flatMap((entry: unknown) => {
    const [key, value] = Array.isArray(entry) ? (entry as unknown[]) : [entry, undefined];
    const inner = (key as { elem?: { val: unknown; comment?: unknown } } | null | undefined)?.elem;
    if (typeof inner?.comment !== 'string') return [];
    return [{ set: name, key: inner.val, value, comment: inner.comment }];
  });
}

/** The command that removes an element. */
export const deletionOf = (family: NftTableFamily, { set, key }: Element): NftObject => ({
  delete: { element: { family, table: TABLE, name: set, elem: [key] } },
});

/** The tag at the beginning of a comment; text for the administrator may follow it. */
export function tagIn(comment: string): string {
  return comment.replace(/ .*$/s, '');
}

/** The sets and maps of one feature, whose elements carry the tag of their attachment: that finds them without its addresses. */
export class TaggedSets {
  readonly #family: NftTableFamily;
  readonly #sets: readonly SetName[];

  constructor(family: NftTableFamily, sets: readonly SetName[]) {
    this.#family = family;
    this.#sets = sets;
  }

  /** Keys of the attachment's elements. */
  async keysOf(call: Call): Promise<string[]> {
    const tag = callTag(call);
    const elements = await listElements(call.host.netns, this.#family, this.#sets);
    return elements.filter(one => tagIn(one.comment) === tag).map(one => String(one.key));
  }

  /** Removes the attachment's elements. */
  async remove(call: Call): Promise<void> {
    const tag = callTag(call);
    await this.removeIf(call, one => tagIn(one.comment) === tag);
  }

  /** Removes the elements of the network that belong to no valid attachment. */
  async gc(call: Call, valid: readonly Attachment[]): Promise<void> {
    const isStale = staleTags(call.name, valid);
    await this.removeIf(call, one => isStale(tagIn(one.comment)));
  }

  async removeIf({ host }: Call, wanted: (element: Element) => boolean): Promise<void> {
    const elements = await listElements(host.netns, this.#family, this.#sets);
    await applyNft(
      host.netns,
      elements.filter(wanted).map(one => deletionOf(this.#family, one)),
    );
  }
}

/** Removes the table of all plugins, and that of the masquerading when no pod has a rule in it. @returns what was removed */
export async function removeOwnTables(netns: string): Promise<string[]> {
  const isUsed = commentedRules(netns, 'inet', MASQUERADE_TABLE).length > 0;
  const tables = [TABLE, ...(isUsed ? [] : [MASQUERADE_TABLE])].filter(name =>
    hasNftTable(netns, 'inet', name),
  );
  await applyNft(
    netns,
    tables.map((name): NftObject => ({ delete: { table: { family: 'inet', name } } })),
  );
  return tables.map(name => `nftables table inet ${name}`);
}
