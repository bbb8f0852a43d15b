import {
  boolean,
  described,
  listOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';

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
  from: described('underlay address of the sender', string),
  to: described('underlay address of the receiver', string),
  payload: described('UDP payload in base64; null: the bare packet, by a plain route', nullable(string)),
  port: described('UDP port of the receiver; null without encapsulation', nullable(number)),
  groupPolicy: described(
    'the sender adds the packet mark to the header of frames that have one (GBP)',
    boolean,
  ),
});

const departure = record({
  ...arrival.fields,
  sourcePort: described(
    'UDP port of the sender; null where the kernel chooses one per flow, or without encapsulation',
    nullable(number),
  ),
  peer: described('name of the peer', string),
});

const step = record({
  step: described('what was looked at: `route`, `neighbour`, `peer`, …', string),
  ok: described('false: the packet is lost here', boolean),
  certain: described('false: whether the packet passes cannot be known from here', boolean),
  text: described('what was found', string),
});

const outcome = oneOf(['forwarded', 'delivered', 'routed-elsewhere', 'unknown', 'dropped']);

/** What one node would do with a packet. */
export const traceAnswer = record({
  node: described('name of the node', string),
  packet: described('the packet in the notation of tcpdump', string),
  steps: described('what the node looks at, in order', listOf(step)),
  outcome: described(
    'forwarded: sent to a peer; delivered: reaches a pod or the node; routed-elsewhere: leaves by an interface outside ' +
      'the overlay; unknown: one of these, or lost at a step that is not certain; dropped: lost on this node',
    outcome,
  ),
  verdict: described('the outcome as a sentence', string),
  remedy: described('what to do about it; null where nothing is wrong', nullable(string)),
  departure: described('the packet as it is sent to the peer; null if it is not', nullable(departure)),
  ingressPeer: described(
    'name of the peer that the packet came from; null when it begins here',
    nullable(string),
  ),
});

export type TraceArrival = ValueOf<typeof arrival>;
export type TraceStep = ValueOf<typeof step>;
export type Outcome = ValueOf<typeof outcome>;
export type TraceAnswer = ValueOf<typeof traceAnswer>;
export type TraceDeparture = ValueOf<typeof departure>;

/** The verdict of a trace with a step in doubt. */
export function unknownVerdict(doubt: TraceStep, otherwise: string): string {
  return `not known: ${doubt.text}. Otherwise ${otherwise}`;
}
