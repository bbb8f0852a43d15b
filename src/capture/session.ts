import { setTimeout as sleep } from 'node:timers/promises';
import { RipstopError } from '../base/errors.ts';
import type { CaptureContext } from './context.ts';
import { steer, type Wanted } from './point.ts';
import { TapReader } from './record.ts';
import { encodeContext, encodeRecords } from './record-stream.ts';
import { resolveSelection, type Selection } from './selection.ts';

/** What a running data plane offers to be watched by. */
export interface CaptureSource {
  readonly control: SharedArrayBuffer;
  /** One a worker. */
  readonly rings: readonly SharedArrayBuffer[];
  /** As things stand now; peers come and go. */
  context(): CaptureContext;
}

/** Between two looks at the rings, milliseconds: a ring holds a good deal more than that at full rate and snap length 128. */
const LOOK_MS = 5;

/** How long a new capture waits for the end of another one, milliseconds. */
const GRACE_MS = 500;

/**
 * The capture of one data plane: one at a time, since a ring has one reader. Runs on the control thread, never on a
 * worker. A consumer that is slow makes the rings fill and the workers count what they could not put there.
 */
export class CaptureHub {
  readonly #source: CaptureSource;
  #busy = false;

  constructor(source: CaptureSource) {
    this.#source = source;
  }

  /**
   * Starts a capture. The stream is that of `record-stream.ts`; it ends, and the workers stop copying, when `signal`
   * aborts or its consumer leaves. Throws RipstopError EINUSE, or ECAPTURE for a name that is not known.
   */
  async start(selection: Selection, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array, void, void>> {
    // One that has just been stopped by its user may not have heard of it yet.
    for (const started = performance.now(); this.#busy && performance.now() - started < GRACE_MS; )
      await sleep(LOOK_MS);
    if (this.#busy)
      throw new RipstopError(
        'EINUSE',
        'another capture is running',
        'end it first: a data plane serves one at a time',
      );
    const context = this.#source.context();
    const wanted = resolveSelection(selection, context);
    this.#busy = true;
    // Once, whoever comes first: the signal also ends a stream that nobody has begun to read.
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      steer(this.#source.control, undefined);
      this.#busy = false;
    };
    if (signal.aborted) release();
    else signal.addEventListener('abort', release, { once: true });
    return this.#stream(context, wanted, signal, release);
  }

  async *#stream(
    context: CaptureContext,
    wanted: Wanted,
    signal: AbortSignal,
    release: () => void,
  ): AsyncGenerator<Uint8Array, void, void> {
    try {
      if (signal.aborted) return;
      const reader = new TapReader(this.#source.rings);
      reader.discard();
      steer(this.#source.control, wanted);
      yield encodeContext(context);
      while (!signal.aborted) {
        const records = reader.take();
        if (records.length > 0) yield encodeRecords(records);
        else await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
      }
    } finally {
      signal.removeEventListener('abort', release);
      release();
    }
  }
}
