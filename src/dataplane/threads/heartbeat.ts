import { elementAt } from '../../base/at.ts';

/*
 * Response time of a worker: the control thread sends a numbered request and signals the eventfd, the worker answers with
 * the time. A packet that arrives now waits about as long.
 *
 *   asked     number of the last request; written by the control thread, read by the worker
 *   answered  number of the last answer; written by the worker after `at`, read by the control thread
 *   at        monotonic milliseconds of that answer, the same clock in all threads
 */
const ASKED = 0;
const ANSWERED = 1;
const AT = 1; // as a float64, behind the two int32
const BYTES = 16;
/** Lags that are kept, one per request. */
const KEPT = 60;
/** Response time from which pods notice the delay, milliseconds. */
export const SLOW_MS = 50;

/** Monotonic milliseconds that every thread of the process agrees on, which `performance.now()` is not. */
function sharedClock(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6;
}

export interface Lag {
  readonly lastMs: number;
  /** Maximum of the last minute. */
  readonly maxMs: number;
}

/** The control thread's side, for one worker. */
export class HeartbeatMonitor {
  readonly memory = new SharedArrayBuffer(BYTES);
  readonly #numbers = new Int32Array(this.memory);
  readonly #times = new Float64Array(this.memory);
  readonly #lags = new Float64Array(KEPT);
  readonly #now: () => number;
  #askedAt = 0;
  #count = 0;
  #lastLag = 0;

  constructor(now = sharedClock) {
    this.#now = now;
  }

  /**
   * Records the answer to the last request and sends the next one; does nothing while a request is open.
   * @param wake ends the worker's wait
   */
  ask(wake: () => void): void {
    const asked = Atomics.load(this.#numbers, ASKED);
    if (Atomics.load(this.#numbers, ANSWERED) !== asked) return;
    if (asked > 0) {
      this.#lastLag = Math.max(0, elementAt(this.#times, AT) - this.#askedAt);
      this.#lags[this.#count++ % KEPT] = this.#lastLag;
    }
    this.#askedAt = this.#now();
    Atomics.store(this.#numbers, ASKED, (asked + 1) | 0);
    wake();
  }

  /** How many of the last 60 answers took longer than `SLOW_MS`. */
  get slow(): number {
    return this.#lags.reduce((count, lag) => count + Number(lag > SLOW_MS), 0);
  }

  get lag(): Lag {
    const isOpen = Atomics.load(this.#numbers, ANSWERED) !== Atomics.load(this.#numbers, ASKED);
    const open = isOpen ? this.#now() - this.#askedAt : 0;
    return { lastMs: Math.max(this.#lastLag, open), maxMs: Math.max(open, ...this.#lags) };
  }
}

/**
 * The worker's side: returns a function to call once per batch. It costs one load while no request is open.
 * @param isWoken true, once, when `wake` was called since
 */
export function heartbeatResponder(
  memory: SharedArrayBuffer,
  isWoken: () => boolean,
  now = sharedClock,
): () => void {
  const numbers = new Int32Array(memory);
  const times = new Float64Array(memory);
  return () => {
    const asked = Atomics.load(numbers, ASKED);
    // The number may be visible before the eventfd fires. The signal must be cleared, or every wait would end at once.
    if (asked === numbers[ANSWERED] || !isWoken()) return;
    times[AT] = now();
    Atomics.store(numbers, ANSWERED, asked);
  };
}

/** The maximum over several workers. */
export function maxLag(lags: readonly Lag[]): Lag {
  return {
    lastMs: Math.max(0, ...lags.map(lag => lag.lastMs)),
    maxMs: Math.max(0, ...lags.map(lag => lag.maxMs)),
  };
}
