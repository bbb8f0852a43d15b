import { setTimeout as sleep } from 'node:timers/promises';
import { elementAt } from '../../base/at.ts';
import { RipstopError } from '../../base/errors.ts';
import { FLOW_TAP, setTapFilter, TAPS, type TapFilter } from '../../dataplane/tap/tap-control.ts';
import { resolveSelection, type Selection } from '../filter/selection.ts';
import type { CaptureContext } from './context.ts';
import { TapReader } from './record.ts';
import { encodeContext, RecordQueue } from './record-stream.ts';

/** What a running data plane offers to captures. */
export interface CaptureSource {
  readonly control: SharedArrayBuffer;
  /** By tap, one ring per worker. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  /** True when the data plane has ended. */
  readonly isClosed: boolean;
  /** The present context; peers come and go. */
  context(): CaptureContext;
}

/** Polling interval of the rings, milliseconds. At full rate and snap length 128 a ring holds far more than that. */
const POLL_MS = 5;

/** How long a new capture waits for the end of another one, milliseconds. */
const GRACE_MS = 500;

/** How long a tap stays unused after a capture, milliseconds: a worker may still write its current batch. */
const DRAIN_MS = 50;

/**
 * The captures of one data plane. Each has its own tap with its own rings, as a ring has one reader. Runs on the
 * control thread, never on a worker. If a consumer is slow, its rings fill up and the workers count the lost records;
 * other captures are not affected.
 */
export class CaptureHub {
  readonly #source: CaptureSource;
  readonly #free = [...Array(TAPS).keys()].filter(tap => tap !== FLOW_TAP);

  constructor(source: CaptureSource) {
    this.#source = source;
  }

  /**
   * Starts a capture. The stream is that of `record-stream.ts`; it ends, and the workers stop copying, when `signal`
   * aborts or its consumer leaves. Throws RipstopError EINUSE, or ECAPTURE for a name that is not known.
   */
  async start(selection: Selection, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array, void, void>> {
    // A capture that its user has just stopped may still hold its tap.
    for (
      const started = performance.now();
      this.#free.length === 0 && performance.now() - started < GRACE_MS;
    )
      await sleep(POLL_MS);
    const context = this.#source.context();
    const wanted = resolveSelection(selection, context);
    const tap = this.#free.shift();
    if (tap === undefined)
      throw new RipstopError('EINUSE', `${TAPS - 1} captures are running`, 'stop one of them first');
    // Once, by the signal or by the end of the stream: the signal also ends a stream that was never read.
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      setTapFilter(this.#source.control, tap, undefined);
      // To the front: one capture after another uses the same rings, and those of the other taps never become resident.
      setTimeout(() => this.#free.unshift(tap), DRAIN_MS).unref();
    };
    if (signal.aborted) release();
    else signal.addEventListener('abort', release, { once: true });
    return this.#stream(tap, context, wanted, signal, release);
  }

  async *#stream(
    tap: number,
    context: CaptureContext,
    wanted: TapFilter,
    signal: AbortSignal,
    release: () => void,
  ): AsyncGenerator<Uint8Array, void, void> {
    try {
      if (signal.aborted) return;
      const reader = new TapReader(elementAt(this.#source.rings, tap));
      const queue = new RecordQueue();
      reader.discard();
      setTapFilter(this.#source.control, tap, wanted);
      yield encodeContext(context);
      while (!signal.aborted && !this.#source.isClosed) {
        if (reader.visit(queue.add) > 0) yield queue.take();
        else await sleep(POLL_MS, undefined, { signal }).catch(() => {});
      }
    } finally {
      signal.removeEventListener('abort', release);
      release();
    }
  }
}
