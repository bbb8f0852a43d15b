/**
 * Reads a stream of chunks as a sequence of bytes with offsets. Holds at most the requested bytes and one chunk. Every
 * length of a file goes through `fill`, so the caller's limit bounds the memory.
 */
export class ByteSource {
  /** Bytes taken so far. */
  offset = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Bytes available without waiting. */
  get ready(): number {
    return this.#held.length - this.#at;
  }

  /** Waits for `count` bytes. Returns false if the stream ends before. */
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
    // Joined once, so that small chunks do not cost quadratic time.
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

  /** The next `count` bytes, without taking them. Call `fill` first. */
  peek(count: number): Uint8Array {
    return this.#held.subarray(this.#at, this.#at + count);
  }

  /** Takes the next `count` bytes. Call `fill` first. */
  take(count: number): Uint8Array {
    const taken = this.peek(count);
    this.#at += count;
    this.offset += count;
    return taken;
  }

  /** Closes the stream, also before its end. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
