/** What the tables of one forwarder can hold. Fixed when their memory is made; see `TablesWriter.grow`. */
export interface TableCapacity {
  /** Peers, at most PEERS_MAX. */
  readonly peers: number;
  /** MAC addresses in the FDB: the VTEP of each peer. */
  readonly macs: number;
  /** Prefixes per family: IPv4 and IPv6 each have room for this many. */
  readonly prefixes: number;
  /** Threads that read the tables. */
  readonly readers: number;
}

/** Peer slots are packed into sixteen bits next to other fields; 0 means "no entry". */
export const PEERS_MAX = 65534;
