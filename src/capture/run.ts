import type { CaptureCounts } from './counts.ts';
import type { RecordFilter } from './filter.ts';
import { READER_GONE } from './output-stream.ts';
import type { Presenter } from './presenter.ts';
import type { CaptureRecord } from './record.ts';
import type { CaptureSink } from './sink.ts';

export interface CaptureRun {
  /** Records as they come; ends by itself when the data plane does. */
  readonly batches: AsyncIterable<readonly CaptureRecord[]>;
  readonly presenter: Presenter;
  readonly filter: RecordFilter;
  readonly counts: CaptureCounts;
  readonly sink: CaptureSink;
  /** Packets after which the capture ends, undefined for no end. */
  readonly packets?: number | undefined;
  /** Ends the capture: a signal of the user, or a time that is over. */
  readonly stop: AbortSignal;
}

/** Why a capture ended. */
export type CaptureEnd = 'stopped' | 'count' | 'source' | 'reader';

/**
 * Runs a capture to its end and closes the sink properly, whatever ends it. A sink that can take no more (a full
 * disk) throws; a reader that has gone does not.
 */
export async function runCapture(run: CaptureRun): Promise<CaptureEnd> {
  const iterator = run.batches[Symbol.asyncIterator]();
  const stopped = new Promise<undefined>(resolve => {
    if (run.stop.aborted) resolve(undefined);
    run.stop.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  try {
    let end: CaptureEnd | undefined;
    while (!end) {
      const next = await Promise.race([iterator.next(), stopped]);
      if (next === undefined) end = 'stopped';
      else if (next.done) end = 'source';
      else if (await pass(run, next.value)) end = 'count';
      await run.sink.flush();
    }
    await run.sink.close();
    return end;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === READER_GONE) return 'reader';
    await run.sink.close().catch(() => {});
    throw error;
  } finally {
    // Not awaited: a source that waits for its next record lets go when its own signal comes.
    void iterator.return?.()?.catch(() => {});
  }
}

/** Writes the packets of some records; true when there are enough. */
async function pass(run: CaptureRun, records: readonly CaptureRecord[]): Promise<boolean> {
  const { presenter, filter, counts, sink } = run;
  for (const record of records) {
    const accepted = filter.accepts(record);
    for (const packet of presenter.packets(record)) {
      counts.receive(packet, accepted);
      if (!accepted) continue;
      await sink.packet(packet);
      counts.deliver(packet);
      if (run.packets !== undefined && counts.totals.delivered >= run.packets) return true;
    }
  }
  return false;
}
