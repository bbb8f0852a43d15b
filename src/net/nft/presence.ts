import { AF_BRIDGE, AF_INET, AF_INET6 } from '../address-bytes.ts';
import { ignoreErrors } from '../error.ts';
import { type MessageWriter, netfilterRequest } from '../rtnetlink/message.ts';
import { NETLINK_NETFILTER, type NetlinkSocket, withSocket } from '../rtnetlink/socket.ts';

/*
 * Whether a table or chain of nftables exists: the kernel is asked by name (linux/netfilter/nf_tables.h). No program is
 * started, and the rest of the rule set is not read: kube-proxy may have made ten thousand chains.
 */

export const SUBSYSTEM = 10 << 8;
const GETTABLE = SUBSYSTEM | 1;
const GETCHAIN = SUBSYSTEM | 4;
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
/** NFPROTO_*, which for these families are the numbers of AF_*. */
export const FAMILIES = { ip: AF_INET, ip6: AF_INET6, inet: 1, bridge: AF_BRIDGE } as const;
/** No such table or chain; a kernel without nftables, or without this family. */
export const ABSENT = ['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EAFNOSUPPORT', 'EINVAL'] as const;

export type NftTableFamily = keyof typeof FAMILIES;

function exists(netns: string, writer: MessageWriter): boolean {
  let isThere = false;
  // A kernel without netfilter's netlink refuses the socket itself.
  ignoreErrors(['EPROTONOSUPPORT'], () => {
    const look = (socket: NetlinkSocket) => ignoreErrors(ABSENT, () => socket.get(writer));
    isThere = withSocket(netns, look, NETLINK_NETFILTER);
  });
  return isThere;
}

/** @throws NetError when the namespace cannot be entered, or the kernel does not answer */
export function hasNftTable(netns: string, family: NftTableFamily, table: string): boolean {
  const writer = netfilterRequest(GETTABLE, FAMILIES[family], `look for nftables table ${family} ${table}`);
  return exists(netns, writer.attributeText(NFTA_TABLE_NAME, table));
}

/** @throws NetError when the namespace cannot be entered, or the kernel does not answer */
export function hasNftChain(netns: string, family: NftTableFamily, table: string, chain: string): boolean {
  const writer = netfilterRequest(
    GETCHAIN,
    FAMILIES[family],
    `look for nftables chain ${family} ${table} ${chain}`,
  );
  return exists(netns, writer.attributeText(NFTA_CHAIN_TABLE, table).attributeText(NFTA_CHAIN_NAME, chain));
}
