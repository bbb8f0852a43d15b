/**
 * Reads a stream of chunks as a run of bytes with a known place, holding no more than was asked for and the chunk
 * that completed it. Every length that a file states passes through `fill`, so the caller's limit bounds memory.
 */
export class ByteSource {
  /** Bytes of the stream that were taken so far. */
  offset = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Bytes at hand without waiting. */
  get ready(): number {
    return this.#held.length - this.#at;
  }

  /** Waits for `count` bytes; false when the stream ends before. */
  async fill(count: number): Promise<boolean> {
    if (this.ready >= count) return true;
    const parts = [this.#held.subarray(this.#at)];
    let total = this.ready;
    while (total < count) {
      const { done, value } = await this.#chunks.next();
      if (done) break;
      parts.push(value);
      total += value.length;
    }
    // Joined once, however small the chunks: a byte at a time must not cost quadratic time.
    const joined = new Uint8Array(total);
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    this.#held = joined;
    this.#at = 0;
    return total >= count;
  }

  /** The next `count` bytes, which stay in place. The caller has filled them. */
  peek(count: number): Uint8Array {
    return this.#held.subarray(this.#at, this.#at + count);
  }

  /** The next `count` bytes, which are then gone. The caller has filled them. */
  take(count: number): Uint8Array {
    const taken = this.peek(count);
    this.#at += count;
    this.offset += count;
    return taken;
  }

  /** Lets the stream go, also when it was not read to its end. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
