import { eachAttribute, readAttributes, readNested, readText } from '../rtnetlink/attributes.ts';
import { type Message, netfilterRequest } from '../rtnetlink/message.ts';
import { askNft, FAMILIES, HEADER, type NftTableFamily, SUBSYSTEM } from './query.ts';

/*
 * Rules and elements of nftables with their comments, read from the kernel. A listing by libnftables decodes whole rules and
 * writes them as JSON; with those of 500 pods it costs ten times as much.
 */

const NEWRULE = SUBSYSTEM | 6;
const GETRULE = SUBSYSTEM | 7;
const NEWSETELEM = SUBSYSTEM | 12;
const GETSETELEM = SUBSYSTEM | 13;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_HANDLE = 3;
const NFTA_RULE_USERDATA = 7;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_USERDATA = 6;
const NFTA_DATA_VALUE = 1;
/** libnftnl/udata.h, the same number for rules and elements; the entries are u8 type, u8 length, value. */
const UDATA_COMMENT = 0;

export interface CommentedRule {
  chain: string;
  handle: number;
  comment: string;
}

/** An element of a set or map. */
export interface CommentedElement {
  /** The key as the kernel has it, in network byte order; each part of a concatenation fills whole 4 bytes. */
  key: Uint8Array;
  /** What a map has it mapped to, in the same form; undefined for a verdict, and in a set. */
  value: Uint8Array | undefined;
  comment: string;
}

/**
 * The rules with a comment of one chain, or of all chains of the table; none where that is absent.
 * @throws NetError when the namespace cannot be entered, or the kernel does not answer
 */
export function commentedRules(
  netns: string,
  family: NftTableFamily,
  table: string,
  chain?: string,
): CommentedRule[] {
  const writer = netfilterRequest(GETRULE, FAMILIES[family], `list nftables rules of ${family} ${table}`);
  writer.attributeText(NFTA_RULE_TABLE, table);
  if (chain !== undefined) writer.attributeText(NFTA_RULE_CHAIN, chain);
  return askNft(netns, socket => socket.list(writer, NEWRULE, readRule).flat()) ?? [];
}

/** @throws NetError EBADMSG */
export function readRule({ payload }: Message): CommentedRule[] {
  const attributes = readAttributes(payload, HEADER);
  const handle = attributes.get(NFTA_RULE_HANDLE);
  const comment = commentIn(attributes.get(NFTA_RULE_USERDATA));
  if (comment === undefined || handle?.length !== 8) return [];
  const chain = readText(attributes, NFTA_RULE_CHAIN) ?? '';
  return [{ chain, handle: Number(Buffer.from(handle).readBigUInt64BE()), comment }];
}

/**
 * The elements with a comment of a set or map; none where that is absent.
 * @throws NetError when the namespace cannot be entered, or the kernel does not answer
 */
export function commentedElements(
  netns: string,
  family: NftTableFamily,
  table: string,
  set: string,
): CommentedElement[] {
  const what = `list elements of ${set} of nftables table ${family} ${table}`;
  const writer = netfilterRequest(GETSETELEM, FAMILIES[family], what);
  writer.attributeText(NFTA_SET_ELEM_LIST_TABLE, table).attributeText(NFTA_SET_ELEM_LIST_SET, set);
  return askNft(netns, socket => socket.list(writer, NEWSETELEM, readElements).flat()) ?? [];
}

/** @throws NetError EBADMSG */
export function readElements({ payload }: Message): CommentedElement[] {
  const list = readAttributes(payload, HEADER).get(NFTA_SET_ELEM_LIST_ELEMENTS);
  const found: CommentedElement[] = [];
  if (!list) return found;
  eachAttribute(list, 0, (_, element) => {
    const attributes = readAttributes(element);
    const comment = commentIn(attributes.get(NFTA_SET_ELEM_USERDATA));
    const key = readNested(attributes, NFTA_SET_ELEM_KEY).get(NFTA_DATA_VALUE);
    const value = readNested(attributes, NFTA_SET_ELEM_DATA).get(NFTA_DATA_VALUE);
    if (comment !== undefined && key) found.push({ key, value, comment });
  });
  return found;
}

/** Any program may have written the user data: an entry that leads out of it ends the search. */
function commentIn(userData: Uint8Array | undefined): string | undefined {
  if (!userData) return undefined;
  for (let at = 0; at + 2 <= userData.length; ) {
    const [type, length = 0] = userData.subarray(at, at + 2);
    const end = at + 2 + length;
    if (end > userData.length) return undefined;
    if (type === UDATA_COMMENT)
      return Buffer.from(userData.subarray(at + 2, end))
        .toString()
        .replace(/\0.*$/s, '');
    at = end;
  }
  return undefined;
}
