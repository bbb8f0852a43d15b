import { hasCode } from '../base/errors.ts';
import type { PacketDecoder } from './decode/packet-decoder.ts';
import type { RecordFilter } from './filter/filter.ts';
import type { InterfaceStatistics } from './format/packet.ts';
import type { CaptureRecord } from './live/record.ts';
import { BROKEN_PIPE } from './sink/output-stream.ts';
import type { CaptureSink } from './sink/sink.ts';

export interface CaptureRun {
  /** The records in order; ends when the data plane ends. */
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
export type EndReason = 'stopped' | 'count' | 'source' | 'broken-pipe';

/**
 * Runs a capture to its end: reads records, filters and decodes them, and writes the packets to the sink. The sink is
 * closed properly in every case. A sink that fails (a full disk) throws; a closed pipe does not.
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
    if (hasCode(error, BROKEN_PIPE)) return 'broken-pipe';
    await run.sink.close().catch(() => {});
    throw error;
  } finally {
    // Not awaited: a source that waits for its next record ends when its own signal aborts.
    void iterator.return?.()?.catch(() => {});
  }
}

/**
 * Writes the packets of some records; true when the requested count is reached. The losses before a record that is
 * filtered out are reported with the next accepted record.
 */
async function pass(
  run: CaptureRun,
  records: readonly CaptureRecord[],
  carry: { lost: number },
): Promise<boolean> {
  const { decoder, filter, counts, sink } = run;
  for (const record of records) {
    const shown = decoder.shown(record);
    const [first] = shown;
    if (first === undefined) continue;
    counts.addLost(first, record.lost);
    carry.lost += record.lost;
    if (!filter(record)) {
      for (const index of shown) counts.addReceived(index, false);
      continue;
    }
    const packets = decoder.packets({ ...record, lost: carry.lost });
    if (packets.length > 0) carry.lost = 0;
    for (const packet of packets) {
      counts.addReceived(packet.interface, true);
      await sink.packet(packet);
      counts.addDelivered(packet.interface);
      if (run.packets !== undefined && counts.totals.delivered >= run.packets) return true;
    }
  }
  return false;
}

type Counts = Record<'received' | 'dropped' | 'accepted' | 'delivered', number>;

/** Counts of a running capture by interface, for its statistics blocks and its last line. */
export class CaptureCounts {
  readonly #started: bigint;
  readonly #now: () => bigint;
  readonly #interfaces: readonly Counts[];

  /** @param now nanoseconds since 1970-01-01 UTC */
  constructor(interfaces: number, now: () => bigint = () => BigInt(Date.now()) * 1_000_000n) {
    this.#now = now;
    this.#started = now();
    this.#interfaces = Array.from({ length: interfaces }, () => ({
      received: 0,
      dropped: 0,
      accepted: 0,
      delivered: 0,
    }));
  }

  /** Counts a packet that the workers captured at an interface, whether or not the filter accepted it. */
  addReceived(index: number, accepted: boolean): void {
    const counts = this.#at(index);
    counts.received++;
    if (accepted) counts.accepted++;
  }

  /** Counts packets that the workers had to drop before a record of this interface. */
  addLost(index: number, packets: number): void {
    const counts = this.#at(index);
    counts.received += packets;
    counts.dropped += packets;
  }

  /** Counts a packet that the sink accepted. */
  addDelivered(index: number): void {
    this.#at(index).delivered++;
  }

  statistics(): InterfaceStatistics[] {
    const ended = this.#now();
    return this.#interfaces.map(counts => ({
      received: BigInt(counts.received),
      dropped: BigInt(counts.dropped),
      accepted: BigInt(counts.accepted),
      delivered: BigInt(counts.delivered),
      started: this.#started,
      ended,
    }));
  }

  /** Sums over all interfaces. */
  get totals(): Omit<Counts, 'accepted'> {
    const sum = (key: keyof Counts) => this.#interfaces.reduce((total, counts) => total + counts[key], 0);
    return { received: sum('received'), dropped: sum('dropped'), delivered: sum('delivered') };
  }

  #at(index: number): Counts {
    const counts = this.#interfaces[index];
    if (!counts) throw new RangeError(`bug: no interface ${index}`);
    return counts;
  }
}
