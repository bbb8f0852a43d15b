/** Output of a format until the sink takes it: one block of memory that grows. `bytes` and `view` are valid until the next `reserve`. */
export class ByteQueue {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  length = 0;

  /** @param capacity initial size, bytes; doubled when it is exceeded */
  constructor(capacity = 65536) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Adds `count` zero bytes and returns their offset. */
  reserve(count: number): number {
    const offset = this.length;
    const end = offset + count;
    if (end > this.bytes.length) this.#grow(end);
    this.bytes.fill(0, offset, end);
    this.length = end;
    return offset;
  }

  /** Returns a copy of the content and empties the queue. */
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
