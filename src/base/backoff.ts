import { setTimeout as sleep } from 'node:timers/promises';

/** Waiting times that double from `firstMs` to `lastMs`, each shortened at random by up to half so that nodes do not march in step. */
export class Backoff {
  readonly #firstMs: number;
  readonly #lastMs: number;
  #nextMs: number;

  constructor(firstMs = 100, lastMs = 5000) {
    this.#firstMs = firstMs;
    this.#lastMs = lastMs;
    this.#nextMs = firstMs;
  }

  /** After a success the next failure waits briefly again. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Waits, or returns at once when `signal` is aborted. `leastMs` is what the other side asked for. */
  async wait(signal: AbortSignal, leastMs = 0): Promise<void> {
    const ms = Math.max(leastMs, this.#nextMs * (0.5 + Math.random() / 2));
    this.#nextMs = Math.min(this.#nextMs * 2, this.#lastMs);
    await pause(ms, signal);
  }
}

/** Sleeps; an abort ends it without an error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
