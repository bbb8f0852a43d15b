import {
  type Batch,
  DESC_ERROR,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_SEGMENTS,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../../src/dataplane/descriptor/descriptor.ts';
import { SOURCE_BYTES, SOURCE_PORT, SOURCE_STRIDE } from '../../src/dataplane/descriptor/source.ts';
import { FORWARD } from '../../src/dataplane/descriptor/verdicts.ts';
import type { DatagramPort, FrameDevice } from '../../src/dataplane/io/interfaces.ts';

/*
 * Both seams with nothing behind them: the frames lie in the slab already and are handed over where they lie, a window
 * of the slab a batch; what is sent is counted. Nothing is copied, so that what remains is the forwarder's own time.
 */

/** Where the prepared frames lie: frame i at `i * room + lead`, `length` bytes each. */
export interface Layout {
  count: number;
  room: number;
  lead: number;
  length: number;
}

export class NullIo implements FrameDevice, DatagramPort {
  readonly sources: Int32Array;
  /** Frames that came out with the verdict FORWARD. */
  forwarded = 0;
  readonly #layout: Layout;
  readonly #addresses: readonly Int32Array[];
  #next = 0;

  /** @param addresses underlay address (four words) of the peer that sends frame i, i modulo their number */
  constructor(layout: Layout, addresses: readonly Int32Array[], capacity: number) {
    this.#layout = layout;
    this.#addresses = addresses;
    this.sources = new Int32Array(capacity * SOURCE_STRIDE);
  }

  readBatch(batch: Batch): number {
    const table = batch.table;
    const { count, room, lead, length } = this.#layout;
    for (let i = 0; i < batch.capacity; i++) {
      const at = i * DESC_STRIDE;
      table[at + DESC_OFFSET] = ((this.#next + i) % count) * room + lead;
      table[at + DESC_LENGTH] = length;
      table[at + DESC_OFFLOAD] = 0;
      table[at + DESC_GSO_SIZE] = 0;
      table[at + DESC_VERDICT] = 0;
      table[at + DESC_SOURCE] = i;
      table[at + DESC_ERROR] = 0;
      table[at + DESC_SEGMENTS] = 0;
    }
    this.#next = (this.#next + batch.capacity) % count;
    return batch.capacity;
  }

  receiveBatch(batch: Batch): number {
    const first = this.#next;
    const sources = this.sources;
    for (let i = 0; i < batch.capacity; i++) {
      const address = this.#addresses[(first + i) % this.#addresses.length]!;
      const at = i * SOURCE_STRIDE;
      for (let word = 0; word < 4; word++) sources[at + word] = address[word]!;
      sources[at + SOURCE_PORT] = 8472;
      sources[at + SOURCE_BYTES] = this.#layout.length;
    }
    return this.readBatch(batch);
  }

  writeBatch(batch: Batch, count: number): number {
    return this.#count(batch, count);
  }

  sendBatch(batch: Batch, count: number, _peers: Int32Array): number {
    return this.#count(batch, count);
  }

  #count(batch: Batch, count: number): number {
    const table = batch.table;
    for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
      if (table[at + DESC_VERDICT] !== FORWARD) continue;
      table[at + DESC_SEGMENTS] = 1;
      this.forwarded++;
    }
    return 0;
  }
}
