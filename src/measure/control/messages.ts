import { FLOWS_MAX } from '../../../encap/wire/measure.ts';
import {
  type Field,
  integer,
  listOf,
  number,
  oneOf,
  record,
  required,
  string,
  text,
  type ValueOf,
} from '../../base/schema.ts';

/*
 * The control connection: `ripstop blast` asks over TCP, the sink answers each request. Its address and port are those of the
 * measurement, so that an address at which nothing asked for packets gets none.
 *
 *   invite    the client asks for a stream      -> invitation, or refused
 *   start     the clocks are compared           -> figures
 *   figures   how far the stream is             -> figures
 *   end       the stream is over                -> figures; the next invite may follow
 *   discard   all that follows is a TCP transfer -> discarding; when the client has closed its end: discarded
 */

/** Increased when an older sink or client would misunderstand a newer one. */
export const CONTROL_VERSION = 1;
export const DEFAULT_PORT = 5299;

const version = integer(0, 1_000_000, 'version of the control protocol');

export const requestField = record({
  kind: oneOf(['invite', 'start', 'figures', 'end', 'discard'] as const),
  version,
  family: oneOf(['4', '6'] as const),
  flows: integer(1, FLOWS_MAX, 'flows of the stream'),
  offsetNs: number,
  /** Where packets are sent; '': to the address of this connection. */
  destination: string,
});
export type SinkRequest = ValueOf<typeof requestField>;

const invitation = record({
  kind: oneOf(['invitation'] as const),
  version,
  stream: integer(0, 255, 'number of the stream'),
  nonce: integer(0, 2 ** 24 - 1, 'drawn for the stream'),
  port: integer(1, 65_535, 'UDP port'),
  originSeconds: number,
  bootId: string,
  source: oneOf(['udp', 'interface', 'tun', 'tap'] as const),
});
export type Invitation = ValueOf<typeof invitation>;

const histogram = record({
  cells: listOf(integer(0, 2 ** 32, 'cells, each followed by its count')),
  min: number,
  max: number,
  sum: number,
});

const figures = record({
  kind: oneOf(['figures'] as const),
  packets: number,
  bytes: number,
  duplicates: number,
  reordered: number,
  reorderDistance: number,
  beyondWindow: number,
  firstNs: number,
  lastNs: number,
  jitterNs: number,
  negative: number,
  latency: histogram,
  dropped: number,
});
export type SinkFigures = ValueOf<typeof figures>;

const refused = record({ kind: oneOf(['refused'] as const), reason: text('a text', '') });

const discarding = record({ kind: oneOf(['discarding'] as const) });
const discarded = record({
  kind: oneOf(['discarded'] as const),
  bytes: number,
  /** From the first to the last byte. */
  milliseconds: number,
});
export type Discarded = ValueOf<typeof discarded>;

const ANSWERS = { invitation, figures, refused, discarding, discarded } as const;
export type SinkReply =
  | Invitation
  | SinkFigures
  | Discarded
  | ValueOf<typeof discarding>
  | ValueOf<typeof refused>;

const kindField = record({
  kind: oneOf(['invitation', 'figures', 'refused', 'discarding', 'discarded'] as const),
});

/** Any answer of a sink. */
export const answerField: Field<SinkReply> = required({
  type: 'an answer of a sink',
  doc: '',
  read(raw, where) {
    const { kind } = kindField.read(raw, where);
    return ANSWERS[kind].read(raw, where) as SinkReply;
  },
});
