import { contain } from '../boundary.ts';

/** Changed leases that make a collection worth its pause. */
const ENOUGH = 500;
/** From a change to the collection, ms: most of a burst is over by then, and nothing uses what it replaced. */
const DELAY_MS = 10_000;
/** Growth of resident memory since the last collection that makes another one worth its pause, bytes. */
const GROWTH = 32 << 20;
/** Interval of the comparisons with resident memory, ms. */
const LOOK_MS = 60_000;

/**
 * Returns memory to the system that V8 would keep: it collects garbage by the growth of its own heap, and an agent without
 * changes allocates too little for that. Shared memory does not count in V8 at all, so that the tables and rings of a stopped
 * data plane would stay for hours.
 */
export class HeapTrim {
  readonly #collect: () => unknown;
  readonly #delayMs: number;
  readonly #resident: () => number;
  #changed = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Resident memory after the last collection; undefined: not known. */
  #base: number | undefined;
  #watching: NodeJS.Timeout | undefined;

  /** The arguments are for tests. */
  constructor(
    collect: () => unknown = collectGarbage,
    delayMs = DELAY_MS,
    resident: () => number = process.memoryUsage.rss,
  ) {
    this.#collect = collect;
    this.#delayMs = delayMs;
    this.#resident = resident;
  }

  /** Takes note of `count` changed leases. */
  note(count: number): void {
    this.#changed += count;
    if (this.#changed >= ENOUGH) this.#collectLater();
  }

  /** Shared memory has been replaced or is not used any more. */
  released(): void {
    this.#collectLater();
  }

  /** Compares resident memory with that after the last collection from now on, until `stop`. */
  watch(everyMs = LOOK_MS): void {
    this.#watching ??= setInterval(() => this.#look(), everyMs).unref();
  }

  stop(): void {
    clearInterval(this.#watching);
    this.#watching = undefined;
  }

  #look(): void {
    const now = this.#resident();
    // The first look is after the start, which leaves a lot of garbage. The system takes memory back as well.
    this.#base = Math.min(this.#base ?? now, now);
    if (now - this.#base >= GROWTH) this.#collectLater();
  }

  #collectLater(): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#changed = 0;
      // What is still resident afterwards is in use; the next look takes it as the new base.
      this.#base = undefined;
      contain('heap', this.#collect);
    }, this.#delayMs);
    this.#timer.unref();
  }
}

/** Of this process. */
export const heapTrim = new HeapTrim();

/**
 * Collects the garbage of this thread and shrinks its heap, in some ten ms (HeapProfiler.collectGarbage of the
 * DevTools protocol; no port is opened). A Node built without the inspector keeps the memory.
 */
async function collectGarbage(): Promise<void> {
  const inspector = await import('node:inspector').catch(() => undefined);
  if (!inspector) return;
  const session = new inspector.Session();
  session.connect();
  // To disconnect inside the callback would block this thread for ever: the session is still dispatching.
  session.post('HeapProfiler.collectGarbage', () => setImmediate(() => session.disconnect()));
}
