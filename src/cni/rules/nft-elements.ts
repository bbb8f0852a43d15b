import { addressText } from '../../../encap/wire/addresses.ts';
import { type CommentedElement, commentedElements, commentedRules } from '../../net/nft/comments.ts';
import { applyNft, type NftObject } from '../../net/nft/nft.ts';
import { hasNftTable } from '../../net/nft/presence.ts';
import type { NftTableFamily } from '../../net/nft/query.ts';
import { align4 } from '../../net/rtnetlink/attributes.ts';
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

/** What keys and values are made of, by nft's names of types. */
type Part = 'ipv4_addr' | 'ipv6_addr' | 'inet_proto' | 'inet_service' | 'ifname';

/** A set or map whose elements carry tags. */
export interface TaggedSet {
  name: string;
  key: readonly Part[];
  /** What a map has it mapped to; absent for a set, and for a map to verdicts. */
  value?: readonly Part[];
}

type Words = readonly (string | number)[];

/** One element of a set or map, as libnftables' JSON has its key. */
export interface Element {
  set: string;
  key: Words;
  value: Words | undefined;
  comment: string;
}

/** Bytes of the parts. */
const SIZES: Readonly<Record<Part, number>> = {
  ipv4_addr: 4,
  ipv6_addr: 16,
  inet_proto: 1,
  inet_service: 2,
  ifname: 16,
};

/** IPPROTO_* of what has ports. */
const PROTOCOLS = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

/** @param bytes as many as the part has */
function wordOf(part: Part, bytes: Uint8Array): string | number {
  const [first = 0, second = 0] = bytes;
  if (part === 'inet_proto') return PROTOCOLS.get(first) ?? first;
  if (part === 'inet_service') return (first << 8) | second;
  if (part === 'ifname') return Buffer.from(bytes).toString().replace(/\0.*$/s, '');
  return addressText(bytes);
}

/** The parts of a key or value; undefined for bytes of another form, because another program may have made the set. */
function wordsOf(parts: readonly Part[], bytes: Uint8Array): Words | undefined {
  const words: (string | number)[] = [];
  let at = 0;
  for (const part of parts) {
    if (at + SIZES[part] > bytes.length) return undefined;
    words.push(wordOf(part, bytes.subarray(at, at + SIZES[part])));
    at += align4(SIZES[part]);
  }
  return align4(bytes.length) === at ? words : undefined;
}

/** The element, or undefined for one of another form. */
export function readElement(set: TaggedSet, { key, value, comment }: CommentedElement): Element | undefined {
  const words = wordsOf(set.key, key);
  return words && { set: set.name, key: words, value: value && wordsOf(set.value ?? [], value), comment };
}

/**
 * Elements in the sets and maps of the table whose comment `wanted` accepts; none of those that are not there. Others are not
 * decoded.
 */
export function listElements(
  netns: string,
  family: NftTableFamily,
  sets: readonly TaggedSet[],
  wanted: (comment: string) => boolean = () => true,
): Element[] {
  if (!hasNftTable(netns, family, TABLE)) return [];
  return sets.flatMap(set =>
    commentedElements(netns, family, TABLE, set.name)
      .filter(one => wanted(one.comment))
      .flatMap(one => readElement(set, one) ?? []),
  );
}

/** The command that removes an element. */
export function deletionOf(family: NftTableFamily, { set, key }: Element): NftObject {
  const elem = key.length === 1 ? key : [{ concat: key }];
  return { delete: { element: { family, table: TABLE, name: set, elem } } };
}

/** The tag at the beginning of a comment; text for the administrator may follow it. */
export function tagIn(comment: string): string {
  return comment.replace(/ .*$/s, '');
}

/** The sets and maps of one feature, whose elements carry the tag of their attachment: that finds them without its addresses. */
export class TaggedSets {
  readonly #family: NftTableFamily;
  readonly #sets: readonly TaggedSet[];

  constructor(family: NftTableFamily, sets: readonly TaggedSet[]) {
    this.#family = family;
    this.#sets = sets;
  }

  /** Keys of the attachment's elements. */
  keysOf(call: Call): string[] {
    const tag = callTag(call);
    const isOwn = (comment: string) => tagIn(comment) === tag;
    return listElements(call.host.netns, this.#family, this.#sets, isOwn).map(one => one.key.join(' . '));
  }

  /** Removes the attachment's elements. */
  async remove(call: Call): Promise<void> {
    const tag = callTag(call);
    await this.#removeIf(call, one => one === tag);
  }

  /** Removes the elements of the network that belong to no valid attachment. */
  async gc(call: Call, valid: readonly Attachment[]): Promise<void> {
    await this.#removeIf(call, staleTags(call.name, valid));
  }

  async #removeIf({ host }: Call, wanted: (tag: string) => boolean): Promise<void> {
    const elements = listElements(host.netns, this.#family, this.#sets, comment => wanted(tagIn(comment)));
    await applyNft(
      host.netns,
      elements.map(one => deletionOf(this.#family, one)),
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
