/** Random numbers that come again with the same seed (mulberry32). */
export interface Seeded {
  /** A signed int32. */
  word(): number;
  /** A whole number, 0 to n - 1. */
  below(n: number): number;
}

export function seeded(seed: number): Seeded {
  let state = seed | 0;
  const word = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return t ^ (t >>> 14);
  };
  return { word, below: n => (word() >>> 0) % n };
}

/** The seed of this run: SEED from the environment to repeat one, else a new one. Print it. */
export function seedOfRun(): number {
  return Number(process.env.SEED ?? Date.now() % 0x7fffffff);
}
