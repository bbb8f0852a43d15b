/** Reads the bytes of an input as a row of decisions. Behind the end every decision is the first one. */
export class Choices {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.byte() % items.length]!;
  }

  /** True for this share of the bytes, never for 0. */
  rarely(share: number): boolean {
    return this.byte() > 255 - Math.floor(share * 255);
  }
}
