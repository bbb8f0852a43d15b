/** What a test hands in to have its seed printed. */
interface Commenter {
  comment(message: string): void;
}

/** A seeded generator (mulberry32): the same seed gives the same run on every machine. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** 0..2^32-1 */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (z ^ (z >>> 14)) >>> 0;
  }

  /** A whole number within `min..max`, both included. */
  between(min: number, max: number): number {
    return min + Math.floor((this.uint32() / 2 ** 32) * (max - min + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.uint32() / 2 ** 32 < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.uint32() & 0xff);
  }
}

/**
 * The generator of one test; its seed is printed, and `RIPSTOP_SEED` runs it again.
 * @param fallback seed when none is given; by default one of the moment
 */
export function seeded(t: Commenter, fallback = Date.now() & 0x7fffffff): Random {
  const seed = process.env.RIPSTOP_SEED === undefined ? fallback : Number(process.env.RIPSTOP_SEED);
  t.comment(`seed ${seed}; run again with RIPSTOP_SEED=${seed}`);
  return new Random(seed);
}
