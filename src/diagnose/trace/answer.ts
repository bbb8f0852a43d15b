import { boolean, listOf, nullable, oneOf, record, string, type ValueOf } from '../../base/schema.ts';

/** The packet to be traced, and where it begins; the body of POST /trace. */
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
const arrival = record({
  /** Underlay addresses. */
  from: string,
  to: string,
  /** UDP payload in base64; null: the bare packet, by a plain route. */
  payload: nullable(string),
});

const step = record({
  /** `route`, `neighbour`, `peer`: what was looked at. */
  step: string,
  ok: boolean,
  text: string,
});

/**
 * `forwarded`: sent to a peer; `delivered`: reaches a pod or the node; `routed-elsewhere`: leaves by an interface outside
 * the overlay; `dropped`: lost on this node.
 */
const outcome = oneOf(['forwarded', 'delivered', 'routed-elsewhere', 'dropped']);

/** What one node would do with a packet. */
export const traceAnswer = record({
  node: string,
  /** The packet in the notation of tcpdump. */
  packet: string,
  steps: listOf(step),
  outcome,
  verdict: string,
  /** What to do about it, null where nothing is wrong. */
  remedy: nullable(string),
  /** The packet as it is sent to the peer. */
  departure: nullable(record({ ...arrival.fields, peer: string })),
  /** Name of the peer that the packet came from; null when it begins here. */
  ingressPeer: nullable(string),
});

export type TraceArrival = ValueOf<typeof arrival>;
export type TraceStep = ValueOf<typeof step>;
export type Outcome = ValueOf<typeof outcome>;
export type TraceAnswer = ValueOf<typeof traceAnswer>;
