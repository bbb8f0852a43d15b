/** Longest time for which a thread that was not running makes up, ms: what is older is left out, so that no burst follows. */
const ARREARS_MS = 20;

/** Says how much may be sent now. Its unit is what `cost` counts: packets or bits. */
export class Pacer {
  readonly #perMs: number;
  #credit: number;
  #last: number;

  /** @param perSecond Infinity: unpaced @param nowMs when sending begins */
  constructor(perSecond: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#last = nowMs;
    // The first packet is sent at once.
    this.#credit = Number.MIN_VALUE;
  }

  /** Grants what is due at `nowMs`. */
  tick(nowMs: number): void {
    if (this.#perMs === Number.POSITIVE_INFINITY) return;
    this.#credit = Math.min(this.#credit + (nowMs - this.#last) * this.#perMs, ARREARS_MS * this.#perMs);
    this.#last = nowMs;
  }

  /** Whether another packet may be sent. */
  get isDue(): boolean {
    return this.#credit > 0;
  }

  spend(cost: number): void {
    if (this.#perMs !== Number.POSITIVE_INFINITY) this.#credit -= cost;
  }

  /** Time until the next packet is due, ms. */
  get waitMs(): number {
    return this.#credit > 0 ? 0 : -this.#credit / this.#perMs;
  }
}
