import { PEER_FAMILY, PEER_STRIDE } from '../tables/peer-table.ts';
import { TokenBucket } from './rate-limit.ts';

/*
 * Head-end replication: a broadcast or multicast frame is sent to every peer, one copy each. One frame from a pod
 * becomes as many datagrams as there are peers, so the number of copies is limited per frame and per second.
 */

interface ReplicationLimits {
  /** Most copies of one frame. With more peers than that, each frame starts with the peer after the last copy. */
  copiesPerFrame: number;
  /** Most copies per second, over all frames. */
  copiesPerSecond: number;
}

const DEFAULT_REPLICATION: ReplicationLimits = { copiesPerFrame: 256, copiesPerSecond: 20_000 };

export class HeadEndReplication {
  readonly #copiesPerFrame: number;
  readonly #bucket: TokenBucket;
  #next = 0;

  constructor(limits: ReplicationLimits = DEFAULT_REPLICATION) {
    this.#copiesPerFrame = limits.copiesPerFrame;
    this.#bucket = new TokenBucket({ perSecond: limits.copiesPerSecond, burst: limits.copiesPerSecond });
  }

  /**
   * The peer slots that get a copy of one frame.
   * @param peers the peer table, PEER_STRIDE int32 per record; records of family 0 are empty
   * @param slots where the slots go; its length bounds the copies too
   * @returns how many slots were written
   */
  plan(peers: Int32Array, slots: Int32Array, nowMs: number): number {
    const records = Math.floor(peers.length / PEER_STRIDE);
    const most = Math.min(this.#copiesPerFrame, slots.length, Math.floor(this.#bucket.available(nowMs)));
    const start = this.#next < records ? this.#next : 0;
    let copies = 0;
    for (let i = 0; i < records; i++) {
      const slot = start + i < records ? start + i : start + i - records;
      if (peers[slot * PEER_STRIDE + PEER_FAMILY] === 0) continue;
      if (copies < most) slots[copies++] = slot;
      else {
        this.#next = slot;
        break;
      }
    }
    this.#bucket.take(copies);
    return copies;
  }
}
