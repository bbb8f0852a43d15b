import { AF_BRIDGE, AF_INET, AF_INET6 } from '../address-bytes.ts';
import { isNetError } from '../error.ts';
import { MessageWriter } from '../rtnetlink/message.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../rtnetlink/socket.ts';

/*
 * Whether a table or chain of nftables exists, asked of the kernel by name (linux/netfilter/nf_tables.h). No program is
 * started, and nothing else of the rule set is read: a node may have ten thousand chains of kube-proxy.
 */

const SUBSYSTEM = 10 << 8;
const GETTABLE = SUBSYSTEM | 1;
const GETCHAIN = SUBSYSTEM | 4;
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
/** NFPROTO_*, which for these families are the numbers of AF_*. */
const FAMILIES = { ip: AF_INET, ip6: AF_INET6, inet: 1, bridge: AF_BRIDGE } as const;
/** No such table or chain; a kernel without nftables, or without this family. */
const ABSENT = ['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EAFNOSUPPORT', 'EINVAL'] as const;

export type NftTableFamily = keyof typeof FAMILIES;

function exists(netns: string, writer: MessageWriter): boolean {
  let socket: NetlinkSocket | undefined;
  try {
    socket = new NetlinkSocket({ netns, protocol: NETLINK_NETFILTER });
    socket.get(writer);
    return true;
  } catch (error) {
    if (socket && isNetError(error, ...ABSENT)) return false;
    if (isNetError(error, 'EPROTONOSUPPORT')) return false;
    throw error;
  } finally {
    socket?.close();
  }
}

function begin(type: number, family: NftTableFamily, what: string): MessageWriter {
  return new MessageWriter(type, 0, what).u8(FAMILIES[family]).u8(0).u16(0);
}

/** @throws NetError when the namespace cannot be entered, or the kernel does not answer */
export function hasNftTable(netns: string, family: NftTableFamily, table: string): boolean {
  const writer = begin(GETTABLE, family, `look for nftables table ${family} ${table}`);
  return exists(netns, writer.attributeText(NFTA_TABLE_NAME, table));
}

/** @throws NetError when the namespace cannot be entered, or the kernel does not answer */
export function hasNftChain(netns: string, family: NftTableFamily, table: string, chain: string): boolean {
  const writer = begin(GETCHAIN, family, `look for nftables chain ${family} ${table} ${chain}`);
  return exists(netns, writer.attributeText(NFTA_CHAIN_TABLE, table).attributeText(NFTA_CHAIN_NAME, chain));
}
