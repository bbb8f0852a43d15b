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

  /** A signed int32. */
  word(): number {
    return this.uint32() | 0;
  }

  /** A whole number, 0 to n - 1. */
  below(n: number): number {
    return this.uint32() % n;
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

/** The seed of this run: `RIPSTOP_SEED`, which repeats an earlier run, else the given one. The caller prints it. */
export function seedOfRun(fallback = Date.now() & 0x7fffffff): number {
  return process.env.RIPSTOP_SEED === undefined ? fallback : Number(process.env.RIPSTOP_SEED);
}

/** The generator of one test, whose seed is printed. `RIPSTOP_SEED` runs it again. */
export function seeded(t: Commenter, fallback?: number): Random {
  const seed = seedOfRun(fallback);
  t.comment(`seed ${seed}; run again with RIPSTOP_SEED=${seed}`);
  return new Random(seed);
}
