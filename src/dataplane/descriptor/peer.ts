import { type Address, isSameAddress } from '../../ip/address.ts';
import { isSamePrefix, type Prefix } from '../../ip/prefix.ts';

/**
 * A remote node of one overlay. The selection among the leases makes it; kernel state, probes, traces and the forwarding
 * tables use this type. `address` and `mac` are in canonical text.
 */
export interface Peer {
  /** Stays the same as long as the node is a peer: its counters are kept under it. In the agent, the key of its lease. */
  readonly id: string;
  /** Name of the node, where the store has one. */
  readonly node?: string | undefined;
  /** Underlay address. */
  readonly address: string;
  /** UDP port, where it is not the one of the overlay. */
  readonly port?: number | undefined;
  /** MAC of its VTEP (vxlan). */
  readonly mac?: string | undefined;
  /** Prefixes whose addresses are behind the peer, without host bits. */
  readonly subnets: readonly Prefix[];
  /** Its own addresses besides `address`, at most one per family: it may send from them as from its subnets. */
  readonly hosts?: readonly Address[] | undefined;
  /**
   * Both ends leave inner checksums partial for each other (remote checksum offload, vxlan): the payload is not
   * summed, because the outer UDP checksum covers it. A kernel peer needs `remcsumtx` and `remcsumrx`.
   */
  readonly remoteChecksum?: boolean | undefined;
  /**
   * It ignores congestion marks of outer headers (flannel's udp backend), so that none may be set on what it is sent: RFC 6040
   * section 4.1 calls this the compatibility mode.
   */
  readonly ignoresEcn?: boolean | undefined;
  /** On the same link as this node: plain routes lead to it (DirectRouting, host-gw). */
  readonly direct?: boolean | undefined;
  /** Largest outer IP packet on the path to it, where that is less than the underlay's MTU. */
  readonly pathMtu?: number | undefined;
  /** Its agent answers which datagrams of a train arrived (decision 0153). */
  readonly provesOffloads?: boolean | undefined;
  /** Each datagram to it leaves in a message of its own: UDP_SEGMENT towards it was found broken. */
  readonly unsegmented?: boolean | undefined;
}

/** Peers that are new or changed, and the ids of those that are gone. */
export interface PeerChanges {
  readonly set: readonly Peer[];
  readonly removed: readonly string[];
}

/** True when nothing of the two differs. */
export function isSamePeer(a: Peer, b: Peer): boolean {
  return (
    a.id === b.id &&
    a.node === b.node &&
    a.address === b.address &&
    a.port === b.port &&
    a.mac === b.mac &&
    a.remoteChecksum === b.remoteChecksum &&
    a.ignoresEcn === b.ignoresEcn &&
    a.direct === b.direct &&
    a.pathMtu === b.pathMtu &&
    a.provesOffloads === b.provesOffloads &&
    a.unsegmented === b.unsegmented &&
    isSameList(a.subnets, b.subnets, isSamePrefix) &&
    isSameList(a.hosts ?? [], b.hosts ?? [], isSameAddress)
  );
}

function isSameList<T>(a: readonly T[], b: readonly T[], isSame: (a: T, b: T) => boolean): boolean {
  if (a.length !== b.length) return false;
  for (const [at, each] of a.entries()) {
    const other = b[at];
    if (other === undefined || !isSame(each, other)) return false;
  }
  return true;
}
