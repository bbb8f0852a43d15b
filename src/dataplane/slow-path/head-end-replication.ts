import { PEER_FAMILY, PEER_STRIDE } from '../tables/peer-table.ts';

/*
 * Head-end replication: a broadcast or multicast frame is sent to every peer, one copy each. One frame from a pod
 * becomes as many datagrams as there are peers, so copies are bounded twice: by frame and by second.
 */

export interface FloodOptions {
  /** Most copies of one frame. With more peers than that, frames take turns, so that none is left out for good. */
  copiesPerFrame: number;
  /** Most copies a second, over all frames. */
  copiesPerSecond: number;
}

export const DEFAULT_FLOOD: FloodOptions = { copiesPerFrame: 256, copiesPerSecond: 20_000 };

export class Flood {
  /** Frames copied, copies planned, copies that a bound held back. */
  readonly counts = { frames: 0, copies: 0, withheld: 0 };
  readonly #options: FloodOptions;
  #tokens: number;
  #atMs = Number.NEGATIVE_INFINITY;
  #next = 0;

  constructor(options: FloodOptions = DEFAULT_FLOOD) {
    this.#options = options;
    this.#tokens = options.copiesPerSecond;
  }

  /**
   * The peer slots that get a copy of one frame.
   * @param peers the peer table, PEER_STRIDE int32 a record; records of family 0 are empty
   * @param slots where the slots go; its length bounds the copies too
   * @returns how many slots were written
   */
  plan(peers: Int32Array, slots: Int32Array, nowMs: number): number {
    const { copiesPerFrame, copiesPerSecond } = this.#options;
    // At most one second's worth gathers; a clock that went back adds nothing.
    if (nowMs > this.#atMs) {
      this.#tokens = Math.min(
        copiesPerSecond,
        this.#tokens + ((nowMs - this.#atMs) * copiesPerSecond) / 1000,
      );
      this.#atMs = nowMs;
    }
    const records = Math.floor(peers.length / PEER_STRIDE);
    const most = Math.min(copiesPerFrame, slots.length, Math.floor(this.#tokens));
    const start = this.#next < records ? this.#next : 0;
    let copies = 0;
    let withheld = 0;
    for (let i = 0; i < records; i++) {
      const slot = start + i < records ? start + i : start + i - records;
      if (peers[slot * PEER_STRIDE + PEER_FAMILY] === 0) continue;
      if (copies < most) slots[copies++] = slot;
      else if (withheld++ === 0) this.#next = slot;
    }
    this.#tokens -= copies;
    this.counts.frames++;
    this.counts.copies += copies;
    this.counts.withheld += withheld;
    return copies;
  }
}
