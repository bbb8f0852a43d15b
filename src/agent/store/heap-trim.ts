import { contain } from '../../base/boundary.ts';

/** Changed leases that make a collection worth its pause. */
const ENOUGH = 500;
/** From that change to the collection, ms: most of a burst is over by then. */
const DELAY_MS = 10_000;

/**
 * Returns memory to the system after a burst of changed leases. V8 keeps the heap that the burst needed, and an agent
 * without changes allocates too little for it to be collected again.
 */
export class HeapTrim {
  readonly #collect: () => unknown;
  readonly #delayMs: number;
  #changed = 0;
  #timer: NodeJS.Timeout | undefined;

  /** The arguments are for tests. */
  constructor(collect: () => unknown = collectGarbage, delayMs = DELAY_MS) {
    this.#collect = collect;
    this.#delayMs = delayMs;
  }

  /** Takes note of `count` changed leases. */
  note(count: number): void {
    this.#changed += count;
    if (this.#changed < ENOUGH || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#changed = 0;
      contain('heap', this.#collect);
    }, this.#delayMs);
    this.#timer.unref();
  }
}

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
