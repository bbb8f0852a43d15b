import { ignoreErrors } from '../error.ts';
import { readAttributes, readText } from '../rtnetlink/attributes.ts';
import { type Message, netfilterRequest } from '../rtnetlink/message.ts';
import { NETLINK_NETFILTER, withSocket } from '../rtnetlink/socket.ts';
import { ABSENT, FAMILIES, type NftTableFamily, SUBSYSTEM } from './presence.ts';

/*
 * The comments of nftables rules, read from the kernel (linux/netfilter/nf_tables.h). A listing by nft decodes whole rules
 * and costs ten times as much with a rule for each of 500 pods.
 */

const GETRULE = SUBSYSTEM | 7;
const NEWRULE = SUBSYSTEM | 6;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_HANDLE = 3;
const NFTA_RULE_USERDATA = 7;
/** struct nfgenmsg. */
const HEADER = 4;
/** libnftnl/udata.h NFTNL_UDATA_RULE_COMMENT; the entries are u8 type, u8 length, value. */
const UDATA_COMMENT = 0;

export interface CommentedRule {
  chain: string;
  handle: number;
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
  let rules: CommentedRule[] = [];
  ignoreErrors([...ABSENT, 'EPROTONOSUPPORT'], () => {
    rules = withSocket(netns, socket => socket.list(writer, NEWRULE, readRule).flat(), NETLINK_NETFILTER);
  });
  return rules;
}

/** @throws NetError EBADMSG */
export function readRule({ payload }: Message): CommentedRule[] {
  const attributes = readAttributes(payload, HEADER);
  const handle = attributes.get(NFTA_RULE_HANDLE);
  const comment = commentIn(attributes.get(NFTA_RULE_USERDATA) ?? new Uint8Array());
  if (comment === undefined || handle === undefined) return [];
  const chain = readText(attributes, NFTA_RULE_CHAIN) ?? '';
  return [{ chain, handle: Number(Buffer.from(handle).readBigUInt64BE()), comment }];
}

/** Any program may have written the user data: an entry that leads out of it ends the search. */
function commentIn(userData: Uint8Array): string | undefined {
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
