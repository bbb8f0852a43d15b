import * as measure from '../../../encap/wire/measure.ts';
import { Arrivals } from '../figures/arrivals.ts';
import {
  PAYLOAD_ADDRESS,
  PAYLOAD_LENGTH,
  PAYLOAD_NANOSECONDS,
  PAYLOAD_OFFSET,
  PAYLOAD_PACKET,
  PAYLOAD_SECONDS,
  PAYLOAD_STRIDE,
} from '../receive/payloads.ts';

/** A stream that the sink invited. */
export interface InvitedStream {
  /** `measure.keyOf` of its number and nonce. */
  readonly key: number;
  readonly flows: number;
  /** Origin of the sink's clock for this stream, seconds since 1970-01-01 UTC. */
  readonly originSeconds: number;
  /** The address that the stream was asked for from, as in a payload record: only it gets answers. */
  readonly address: Int32Array;
}

interface Counted {
  readonly invited: InvitedStream;
  readonly arrivals: Arrivals;
}

/** The packets of a batch that ask for an answer. */
export interface Asked {
  /** Records of the batch, as offsets in int32 fields. */
  readonly records: Int32Array;
  /** Their time of arrival since the origin of their stream, nanoseconds. */
  readonly arrived: Float64Array;
  /** Their stream's origin, seconds. */
  readonly origins: Float64Array;
  count: number;
}

/** Counts the packets of the streams that the sink invited; it takes no notice of any other. */
export class StreamCounts {
  readonly #streams = new Map<number, Counted>();
  #lastKey = -1;
  #last: Counted | undefined;

  open(invited: InvitedStream): void {
    this.#streams.set(invited.key, { invited, arrivals: new Arrivals(invited.flows) });
    this.#lastKey = -1;
  }

  close(key: number): void {
    this.#streams.delete(key);
    this.#lastKey = -1;
  }

  arrivals(key: number): Arrivals | undefined {
    return this.#streams.get(key)?.arrivals;
  }

  /** Counts the first `count` records; notes in `asked` which of them ask for an answer. */
  count(view: DataView, payloads: Int32Array, count: number, asked: Asked): void {
    asked.count = 0;
    for (let at = 0; at < count * PAYLOAD_STRIDE; at += PAYLOAD_STRIDE) {
      const off = payloads[at + PAYLOAD_OFFSET] ?? 0;
      if (measure.check(view, off, payloads[at + PAYLOAD_LENGTH] ?? 0) !== measure.BYTES) continue;
      const stream = this.#find(measure.streamKey(view, off));
      if (stream === undefined) continue;
      const { invited, arrivals } = stream;
      const flags = measure.flags(view, off);
      const arrived =
        ((payloads[at + PAYLOAD_SECONDS] ?? 0) - invited.originSeconds) * 1e9 +
        (payloads[at + PAYLOAD_NANOSECONDS] ?? 0);
      if ((flags & measure.FLAG_PROBE) === 0)
        arrivals.add(
          measure.flow(view, off),
          measure.sequence(view, off),
          payloads[at + PAYLOAD_PACKET] ?? 0,
          measure.time(view, off),
          arrived,
        );
      if ((flags & measure.FLAG_ASK) !== 0 && isFrom(payloads, at, invited.address))
        note(asked, at, arrived, invited);
    }
  }

  #find(key: number): Counted | undefined {
    if (key === this.#lastKey) return this.#last;
    this.#last = this.#streams.get(key);
    this.#lastKey = key;
    return this.#last;
  }
}

/** A client could otherwise have the sink send answers to any address. */
function isFrom(payloads: Int32Array, at: number, address: Int32Array): boolean {
  const from = at + PAYLOAD_ADDRESS;
  return (
    payloads[from] === address[0] &&
    payloads[from + 1] === address[1] &&
    payloads[from + 2] === address[2] &&
    payloads[from + 3] === address[3]
  );
}

function note(asked: Asked, at: number, arrived: number, { originSeconds }: InvitedStream): void {
  if (asked.count === asked.records.length) return;
  asked.records[asked.count] = at;
  asked.arrived[asked.count] = arrived;
  asked.origins[asked.count] = originSeconds;
  asked.count++;
}
