import { elapsed } from '../../../encap/wire/measure.ts';
import { Histogram, type HistogramCells } from './histogram.ts';

/*
 * What the sink finds out about a stream, packet by packet. Order and duplicates are those of each flow: packets of different
 * flows overtake each other by design, where receive queues or several paths spread them.
 *
 *   reordered   RFC 4737 section 3.3: a packet whose sequence number is below the next expected one. A second arrival of a
 *               packet is a duplicate (RFC 5560) and not reordered.
 *   jitter      RFC 3550 section 6.4.1: J += (|D| - J) / 16, D the difference of the transit times of two packets.
 */

/** Sequence numbers for which all flows of a stream together know whether they arrived: 1 MiB. */
const WINDOW_BITS = 1 << 23;

/** What one packet was. */
export const FIRST = 0;
export const REORDERED = 1;
export const DUPLICATE = 2;

export interface ArrivalFigures {
  /** First arrivals. */
  readonly packets: number;
  /** Bytes of their IP packets. */
  readonly bytes: number;
  readonly duplicates: number;
  readonly reordered: number;
  /** Largest number of sequence numbers by which a reordered packet was behind. */
  readonly reorderDistance: number;
  /** Packets so far behind that it is not known whether they are duplicates; they count as reordered. */
  readonly beyondWindow: number;
  /** First and last arrival, nanoseconds since the origin of the sink's clock. */
  readonly firstNs: number;
  readonly lastNs: number;
  readonly jitterNs: number;
  /** Latencies below zero, which count as 0: the offset of the clocks is wrong by more than they are. */
  readonly negative: number;
  /** One-way latency, nanoseconds. */
  readonly latency: HistogramCells;
}

export class Arrivals {
  /** Nanoseconds by which the sink's clock is ahead of the sender's, both since their origins. */
  offsetNs = 0;
  readonly #flows: number;
  /** Sequence numbers per flow, a power of two. */
  readonly #window: number;
  readonly #seen: Uint32Array;
  readonly #next: Float64Array;
  readonly #transit: Float64Array;
  readonly #jitter: Float64Array;
  readonly #counts: Float64Array;
  readonly #latency = new Histogram();
  #bytes = 0;
  #duplicates = 0;
  #reordered = 0;
  #distance = 0;
  #beyond = 0;
  #negative = 0;
  #first = Number.NaN;
  #last = 0;

  /** @param windowBits sequence numbers for which all flows together know whether they arrived; a power of two */
  constructor(flows: number, windowBits = WINDOW_BITS) {
    this.#flows = flows;
    this.#window = Math.max(32, 2 ** Math.floor(Math.log2(windowBits / flows)));
    this.#seen = new Uint32Array((this.#window / 32) * flows);
    this.#next = new Float64Array(flows);
    this.#transit = new Float64Array(flows);
    this.#jitter = new Float64Array(flows);
    this.#counts = new Float64Array(flows);
  }

  /**
   * Counts one packet.
   * @param bytes of its IP packet
   * @param sentNs its time of sending
   * @param arrivedNs its time of arrival
   * @returns FIRST, REORDERED or DUPLICATE
   */
  add(flow: number, sequence: number, bytes: number, sentNs: number, arrivedNs: number): number {
    if (flow >= this.#flows) return DUPLICATE;
    const kind = this.#place(flow, sequence);
    if (kind === DUPLICATE) {
      this.#duplicates++;
      return kind;
    }
    if (kind === REORDERED) this.#reordered++;
    this.#bytes += bytes;
    if (Number.isNaN(this.#first)) this.#first = arrivedNs;
    this.#last = arrivedNs;
    const transit = elapsed(sentNs, arrivedNs);
    const before = this.#counts[flow] ?? 0;
    this.#counts[flow] = before + 1;
    if (before > 0) {
      const difference = Math.abs(transit - (this.#transit[flow] ?? 0));
      this.#jitter[flow] = (this.#jitter[flow] ?? 0) + (difference - (this.#jitter[flow] ?? 0)) / 16;
    }
    this.#transit[flow] = transit;
    const latency = transit - this.offsetNs;
    if (latency < 0) this.#negative++;
    this.#latency.add(latency);
    return kind;
  }

  /** Notes that a sequence number arrived. */
  #place(flow: number, sequence: number): number {
    const window = this.#window;
    const base = flow * window;
    const next = this.#next[flow] ?? 0;
    if (sequence >= next) {
      // Those between were not seen yet; their places hold numbers of an earlier round.
      for (let missing = Math.max(next, sequence - window); missing < sequence; missing++)
        this.#clear(base + (missing & (window - 1)));
      this.#set(base + (sequence & (window - 1)));
      this.#next[flow] = sequence + 1;
      return FIRST;
    }
    const distance = next - sequence;
    if (distance > window) {
      this.#beyond++;
    } else {
      const at = base + (sequence & (window - 1));
      if (((this.#seen[at >>> 5] ?? 0) & (1 << (at & 31))) !== 0) return DUPLICATE;
      this.#set(at);
    }
    if (distance > this.#distance) this.#distance = distance;
    return REORDERED;
  }

  #set(at: number): void {
    this.#seen[at >>> 5] = (this.#seen[at >>> 5] ?? 0) | (1 << (at & 31));
  }

  #clear(at: number): void {
    this.#seen[at >>> 5] = (this.#seen[at >>> 5] ?? 0) & ~(1 << (at & 31));
  }

  /** Packets so far, without duplicates. */
  get packets(): number {
    return this.#latency.count;
  }

  figures(): ArrivalFigures {
    const { packets } = this;
    // Weighted by the packets of each flow.
    const jitter = this.#jitter.reduce((sum, value, flow) => sum + value * (this.#counts[flow] ?? 0), 0);
    return {
      packets,
      bytes: this.#bytes,
      duplicates: this.#duplicates,
      reordered: this.#reordered,
      reorderDistance: this.#distance,
      beyondWindow: this.#beyond,
      firstNs: packets > 0 ? this.#first : 0,
      lastNs: this.#last,
      jitterNs: packets > 0 ? jitter / packets : 0,
      negative: this.#negative,
      latency: this.#latency.cells,
    };
  }
}
