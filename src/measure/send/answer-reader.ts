import * as measure from '../../../encap/wire/measure.ts';
import { Histogram } from '../figures/histogram.ts';
import {
  PAYLOAD_LENGTH,
  PAYLOAD_NANOSECONDS,
  PAYLOAD_OFFSET,
  PAYLOAD_SECONDS,
  PAYLOAD_STRIDE,
  type Source,
} from '../receive/payloads.ts';

/** The best estimate of the offset of two clocks (RFC 5905 section 8): the sample with the smallest round trip. */
export interface ClockOffset {
  /** Nanoseconds by which the sink's clock is ahead of the sender's, both since their origins. */
  readonly offsetNs: number;
  /** Half of the round trip: the offset is wrong by no more. */
  readonly errorNs: number;
}

/** Reads the answers of the sink. */
export class AnswerReader {
  readonly #source: Source;
  readonly #key: number;
  readonly #originSeconds: number;
  roundTrips = new Histogram();
  #best: ClockOffset | undefined;

  /** @param originSeconds of the sender's clock */
  constructor(source: Source, key: number, originSeconds: number) {
    this.#source = source;
    this.#key = key;
    this.#originSeconds = originSeconds;
  }

  /** Answers so far. */
  get answers(): number {
    return this.roundTrips.count;
  }

  /** The offset by the answers since the last call, undefined without any. */
  takeOffset(): ClockOffset | undefined {
    const best = this.#best;
    this.#best = undefined;
    return best;
  }

  /** Waits for answers and reads those that are there. */
  read(timeoutMs: number): void {
    const count = this.#source.read(timeoutMs);
    const { view, payloads } = this.#source;
    for (let at = 0; at < count * PAYLOAD_STRIDE; at += PAYLOAD_STRIDE) {
      const off = payloads[at + PAYLOAD_OFFSET] ?? 0;
      if (measure.check(view, off, payloads[at + PAYLOAD_LENGTH] ?? 0) !== measure.ANSWER_BYTES) continue;
      if (measure.streamKey(view, off) !== this.#key) continue;
      const arrived =
        ((payloads[at + PAYLOAD_SECONDS] ?? 0) - this.#originSeconds) * 1e9 +
        (payloads[at + PAYLOAD_NANOSECONDS] ?? 0);
      this.#add(view, off, measure.wrapped(arrived));
    }
  }

  #add(view: DataView, off: number, arrived: number): void {
    const sent = measure.time(view, off);
    const received = measure.receivedTime(view, off);
    const answered = measure.answeredTime(view, off);
    const roundTrip = measure.elapsed(sent, arrived) - measure.elapsed(received, answered);
    this.roundTrips.add(roundTrip);
    // A stamp is the time before the call that sends, and the clock has steps of a quarter of a microsecond.
    const errorNs = Math.max(0, roundTrip) / 2;
    if (this.#best && this.#best.errorNs <= errorNs) return;
    const offsetNs = (measure.elapsed(sent, received) + measure.elapsed(arrived, answered)) / 2;
    this.#best = { offsetNs, errorNs };
  }
}
