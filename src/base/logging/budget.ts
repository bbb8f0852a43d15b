import { type Clock, monotonicMs } from '../clock.ts';

const WINDOW_MS = 60_000;

/**
 * Limits messages of one kind whose texts differ, so that an input of others cannot fill the log: some per minute are
 * printed, and one message has the number of the rest.
 */
export class LogBudget {
  readonly #perMinute: number;
  readonly #printRest: (count: number) => void;
  readonly #clock: Clock;
  #since = Number.NEGATIVE_INFINITY;
  #printed = 0;
  #rest = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(perMinute: number, printRest: (count: number) => void, clock: Clock = monotonicMs) {
    this.#perMinute = perMinute;
    this.#printRest = printRest;
    this.#clock = clock;
  }

  /** True when the next message is to be printed; otherwise it is counted. */
  take(): boolean {
    if (this.#clock() - this.#since >= WINDOW_MS) {
      this.#flush();
      this.#since = this.#clock();
    }
    if (this.#printed < this.#perMinute) {
      this.#printed++;
      return true;
    }
    this.#rest++;
    this.#timer ??= setTimeout(() => this.#flush(), WINDOW_MS).unref();
    return false;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#rest > 0) this.#printRest(this.#rest);
    this.#rest = 0;
    this.#printed = 0;
  }
}
