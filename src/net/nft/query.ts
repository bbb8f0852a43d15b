import { AF_BRIDGE, AF_INET, AF_INET6 } from '../address-bytes.ts';
import { isNetError } from '../error.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../rtnetlink/socket.ts';

/*
 * Questions to nftables by netlink (linux/netfilter/nf_tables.h): about one object by its name, so that no program is started and
 * the rest of the rule set is not read. kube-proxy may have made ten thousand chains.
 */

export const SUBSYSTEM = 10 << 8;
/** Bytes of struct nfgenmsg. */
export const HEADER = 4;
/** NFPROTO_*, which for these families are the numbers of AF_*. */
export const FAMILIES = { ip: AF_INET, ip6: AF_INET6, inet: 1, bridge: AF_BRIDGE } as const;

export type NftTableFamily = keyof typeof FAMILIES;

/** No such object; a kernel without nftables, or without this family. */
const ABSENT = ['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EAFNOSUPPORT', 'EINVAL'] as const;

/**
 * The socket of this process's own namespace. It is kept, because closing one waits until the kernel has freed what the latest
 * transaction replaced (nft_rcv_nl_event), 5 to 15 ms. A socket of another namespace is not kept: it would keep the namespace.
 */
let kept: NetlinkSocket | undefined;

/**
 * Asks nftables.
 * @returns what `question` returns, undefined where the object or nftables is absent
 * @throws NetError when the namespace cannot be entered, or the kernel does not answer
 */
export function askNft<T>(netns: string, question: (socket: NetlinkSocket) => T): T | undefined {
  const socket = (netns === '' ? kept : undefined) ?? open(netns);
  if (!socket) return undefined;
  let isUsable = false;
  try {
    const answer = question(socket);
    isUsable = true;
    return answer;
  } catch (error) {
    isUsable = isNetError(error, ...ABSENT);
    if (isUsable) return undefined;
    throw error;
  } finally {
    const isKept = netns === '' && isUsable;
    if (!isKept) socket.close();
    if (netns === '') kept = isKept ? socket : undefined;
  }
}

/** Undefined where the kernel has no netfilter. */
function open(netns: string): NetlinkSocket | undefined {
  try {
    return new NetlinkSocket({ netns, protocol: NETLINK_NETFILTER });
  } catch (error) {
    if (isNetError(error, 'EPROTONOSUPPORT')) return undefined;
    throw error;
  }
}
