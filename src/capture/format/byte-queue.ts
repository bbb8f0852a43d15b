import type { ByteQueue } from './packet.ts';

/** Bytes that wait for a sink: one growing block, emptied as a whole. */
export class GrowingQueue implements ByteQueue {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  length = 0;

  /** @param capacity bytes to begin with; doubled whenever they do not suffice */
  constructor(capacity = 65536) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  reserve(count: number): number {
    const offset = this.length;
    const end = offset + count;
    if (end > this.bytes.length) this.#grow(end);
    this.bytes.fill(0, offset, end);
    this.length = end;
    return offset;
  }

  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length);
    this.length = 0;
    return taken;
  }

  #grow(needed: number): void {
    let capacity = this.bytes.length * 2;
    while (capacity < needed) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}
