import { elementAt } from '../base/at.ts';
import type { Packet } from './format/packet.ts';

/** How much older than the newest packet another one may be and still be put in order, nanoseconds. */
const WINDOW_NS = 100_000_000n;
/** Bytes that may wait to be put in order. */
const BYTES_MAX = 16 << 20;

/**
 * Puts packets in the order of their times. The points of a frame have several times, and the workers hand over their
 * batches one by one, so packets come a little out of order. It holds a packet until a newer one by WINDOW_NS has come.
 */
export class TimeOrder {
  /** Packets that came too late to be put in order. */
  late = 0;
  readonly #waiting: Packet[] = [];
  #bytes = 0;
  #newest = 0n;
  #last = 0n;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(packet: Packet): void {
    this.#waiting.push(packet);
    this.#bytes += packet.bytes.length;
    if (packet.time > this.#newest) this.#newest = packet.time;
  }

  /** The packets that nothing older can precede any more. */
  take(): Packet[] {
    const isFull = this.#bytes > BYTES_MAX;
    return this.#takeUntil(isFull ? this.#newest : this.#newest - WINDOW_NS);
  }

  takeAll(): Packet[] {
    return this.#takeUntil(this.#newest);
  }

  #takeUntil(limit: bigint): Packet[] {
    const waiting = this.#waiting;
    waiting.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
    let count = 0;
    while (count < waiting.length && elementAt(waiting, count).time <= limit) count++;
    const taken = waiting.splice(0, count);
    for (const { bytes, time } of taken) {
      this.#bytes -= bytes.length;
      if (time < this.#last) this.late++;
      else this.#last = time;
    }
    return taken;
  }
}
