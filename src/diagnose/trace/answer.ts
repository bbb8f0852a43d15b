/** The packet to be traced, and where it begins. Crosses the socket as JSON. */
export interface TraceRequest {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Bytes of the IP packet. */
  readonly size: number;
  /** As it comes from another node; absent: it begins here, or at the peer that owns its source. */
  readonly arrival?: TraceArrival | undefined;
}

/** A packet on the underlay. */
export interface TraceArrival {
  /** Underlay addresses. */
  readonly from: string;
  readonly to: string;
  /** UDP payload in base64; null: the bare packet, by a plain route. */
  readonly payload: string | null;
}

export interface TraceStep {
  /** `route`, `neighbour`, `peer`: what was looked at. */
  readonly step: string;
  readonly ok: boolean;
  readonly text: string;
}

/**
 * `forwarded`: sent to a peer; `delivered`: reaches a pod or the node; `routed-elsewhere`: leaves by an interface outside
 * the overlay; `dropped`: lost on this node.
 */
export type Outcome = 'forwarded' | 'delivered' | 'routed-elsewhere' | 'dropped';

/** What one node would do with a packet. */
export interface TraceAnswer {
  readonly node: string;
  /** The packet in tcpdump's words. */
  readonly packet: string;
  readonly steps: readonly TraceStep[];
  readonly outcome: Outcome;
  readonly verdict: string;
  /** What to do about it, null where nothing is wrong. */
  readonly remedy: string | null;
  /** As it leaves for the peer. */
  readonly departure: (TraceArrival & { readonly peer: string }) | null;
  /** Name of the peer that the packet came from; null when it begins here. */
  readonly ingressPeer: string | null;
}
