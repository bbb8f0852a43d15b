/** Time for an end-to-end run, which all of its conditions share evenly, so that each one gets as many rounds as another one. */
export class Allowance {
  readonly #end: number;
  readonly #now: () => number;

  /** @param seconds for everything that is still to come; undefined without a bound @param now the clock, ms */
  constructor(seconds: number | undefined, now = () => performance.now()) {
    this.#now = now;
    this.#end = seconds === undefined ? Number.POSITIVE_INFINITY : now() + seconds * 1000;
  }

  /** The part of the next of `conditions` that are still to come. */
  share(conditions: number): Allowance {
    const left = Math.max(0, this.#end - this.#now()) / 1000;
    return new Allowance(Number.isFinite(left) ? left / conditions : undefined, this.#now);
  }

  /** Whether what takes so many seconds would end in time. */
  hasRoomFor(seconds: number): boolean {
    return this.#now() + seconds * 1000 <= this.#end;
  }
}

/** A measurement that failed so often in one condition is not tried again there: each try may take its whole time limit. */
const FAILURES = 2;

/** Counts the failures of measurements within one condition. */
export class Failures {
  readonly #counts = new Map<string, number>();

  note(contender: string, measure: string): void {
    const key = `${contender}\n${measure}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  isGivenUp(contender: string, measure: string): boolean {
    return (this.#counts.get(`${contender}\n${measure}`) ?? 0) >= FAILURES;
  }
}
