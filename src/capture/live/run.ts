import { hasCode } from '../../base/errors.ts';
import type { PacketDecoder } from '../decode/packet-decoder.ts';
import type { RecordFilter } from '../filter/filter.ts';
import { BROKEN_PIPE } from '../sink/output-stream.ts';
import type { CaptureSink } from '../sink/sink.ts';
import type { CaptureCounts } from './counts.ts';
import type { CaptureRecord } from './record.ts';

export interface CaptureRun {
  /** Records as they come; ends by itself when the data plane does. */
  readonly batches: AsyncIterable<readonly CaptureRecord[]>;
  readonly decoder: PacketDecoder;
  readonly filter: RecordFilter;
  readonly counts: CaptureCounts;
  readonly sink: CaptureSink;
  /** Packets after which the capture ends, undefined for no end. */
  readonly packets?: number | undefined;
  /** Ends the capture: a signal of the user, or a time that is over. */
  readonly stop: AbortSignal;
}

/** Why a capture ended. */
export type EndReason = 'stopped' | 'count' | 'source' | 'reader';

/**
 * Runs a capture to its end and closes the sink properly, whatever ends it. A sink that can take no more (a full
 * disk) throws; a reader that has gone does not.
 */
export async function runCapture(run: CaptureRun): Promise<EndReason> {
  const iterator = run.batches[Symbol.asyncIterator]();
  const stopped = new Promise<undefined>(resolve => {
    if (run.stop.aborted) resolve(undefined);
    run.stop.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const carry = { lost: 0 };
  try {
    let end: EndReason | undefined;
    while (!end) {
      const next = await Promise.race([iterator.next(), stopped]);
      if (next === undefined) end = 'stopped';
      else if (next.done) end = 'source';
      else if (await pass(run, next.value, carry)) end = 'count';
      await run.sink.flush();
    }
    await run.sink.close();
    return end;
  } catch (error) {
    if (hasCode(error, BROKEN_PIPE)) return 'reader';
    await run.sink.close().catch(() => {});
    throw error;
  } finally {
    // Not awaited: a source that waits for its next record lets go when its own signal comes.
    void iterator.return?.()?.catch(() => {});
  }
}

/**
 * Writes the packets of some records; true when there are enough. A record that is filtered out costs no more than the
 * filter; what was lost before it is told by the next one that passes.
 */
async function pass(
  run: CaptureRun,
  records: readonly CaptureRecord[],
  carry: { lost: number },
): Promise<boolean> {
  const { decoder, filter, counts, sink } = run;
  for (const record of records) {
    const shown = decoder.shown(record);
    if (shown.length === 0) continue;
    counts.lose(shown[0]!, record.lost);
    carry.lost += record.lost;
    if (!filter.accepts(record)) {
      for (const index of shown) counts.receive(index, 1, false);
      continue;
    }
    const packets = decoder.packets({ ...record, lost: carry.lost });
    if (packets.length > 0) carry.lost = 0;
    for (const packet of packets) {
      counts.receive(packet.interface, 1, true);
      await sink.packet(packet);
      counts.deliver(packet);
      if (run.packets !== undefined && counts.totals.delivered >= run.packets) return true;
    }
  }
  return false;
}
