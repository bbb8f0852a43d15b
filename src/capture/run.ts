import { hasCode } from '../base/errors.ts';
import type { InterfaceStatistics, Packet } from './format/packet.ts';
import { BROKEN_PIPE } from './sink/output-stream.ts';
import type { CaptureSink } from './sink/sink.ts';
import type { TimeOrder } from './time-order.ts';

/** What a capture does with its records. */
export interface RecordDecoder<R> {
  /** What was lost before a record, by interface. */
  lost(record: R): { readonly interface: number; readonly packets: number }[];
  /** Indices of the interfaces that a record has packets for. */
  shown(record: R): number[];
  packets(record: R): Packet[];
}

export interface CaptureRun<R> {
  /** The records in order; ends with their source. */
  readonly batches: AsyncIterable<readonly R[]>;
  readonly decoder: RecordDecoder<R>;
  readonly filter: (record: R) => boolean;
  readonly counts: CaptureCounts;
  readonly sink: CaptureSink;
  readonly order: TimeOrder;
  /** Packets after which the capture ends, undefined for no end. */
  readonly packets?: number | undefined;
  /** Ends the capture: a signal of the user, or a time that is over. */
  readonly stop: AbortSignal;
}

/** Why a capture ended. */
export type EndReason = 'stopped' | 'count' | 'source' | 'broken-pipe';

/** How long the source may be silent after a stop before the capture ends without its last records, milliseconds. */
const STOP_GRACE_MS = 1000;
/** How long packets wait to be put in order while no others come, milliseconds. */
const QUIET_MS = 100;

/**
 * Runs a capture to its end: reads records, filters and decodes them, and writes the packets to the sink in the order of
 * their times. After a stop it takes what the source still has. The sink is closed properly in every case. A sink that
 * fails (a full disk) throws; a closed pipe does not.
 */
export async function runCapture<R>(run: CaptureRun<R>): Promise<EndReason> {
  const iterator = run.batches[Symbol.asyncIterator]();
  const running = new Running(run);
  try {
    const end = await collect(run, iterator, running);
    await running.deliver(true);
    await run.sink.flush();
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

async function collect<R>(
  run: CaptureRun<R>,
  iterator: AsyncIterator<readonly R[]>,
  running: Running<R>,
): Promise<EndReason> {
  let next = iterator.next();
  for (;;) {
    const { stop } = run;
    const event = await firstOf(
      next,
      stop,
      stop.aborted ? STOP_GRACE_MS : running.hasWaiting ? QUIET_MS : undefined,
    );
    if (event === 'timeout' && stop.aborted) return 'stopped';
    if (event === 'timeout') await running.deliver(true);
    else if (event !== 'stop') {
      if (event.done) return stop.aborted ? 'stopped' : 'source';
      if (running.add(event.value)) return 'count';
      next = iterator.next();
      await running.deliver(false);
    }
    await run.sink.flush();
  }
}

/** What comes first: the value, an abort that has not been yet, or the end of a time. Leaves no listener behind. */
function firstOf<T>(
  value: Promise<T>,
  stop: AbortSignal,
  timeoutMs: number | undefined,
): Promise<T | 'stop' | 'timeout'> {
  return new Promise((resolve, reject) => {
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => end(() => resolve('timeout')), timeoutMs);
    const onStop = () => end(() => resolve('stop'));
    const end = (settle: () => void) => {
      clearTimeout(timer);
      stop.removeEventListener('abort', onStop);
      settle();
    };
    if (!stop.aborted) stop.addEventListener('abort', onStop);
    value.then(
      result => end(() => resolve(result)),
      error => end(() => reject(error)),
    );
  });
}

/** The packets of a running capture on their way to the sink. */
class Running<R> {
  readonly #run: CaptureRun<R>;
  /** Losses by interface that no packet has told yet. */
  readonly #untold: number[] = [];
  #added = 0;

  constructor(run: CaptureRun<R>) {
    this.#run = run;
  }

  get hasWaiting(): boolean {
    return !this.#run.order.isEmpty;
  }

  /**
   * Takes the packets of some records; true when the requested count is reached. The losses before a record that is filtered
   * out are told by the next accepted packet of the interface.
   */
  add(records: readonly R[]): boolean {
    const { decoder, filter, counts, order, packets: most } = this.#run;
    for (const record of records) {
      for (const { interface: index, packets } of decoder.lost(record)) {
        counts.addLost(index, packets);
        this.#untold[index] = (this.#untold[index] ?? 0) + packets;
      }
      const shown = decoder.shown(record);
      if (shown.length === 0) continue;
      if (!filter(record)) {
        for (const index of shown) counts.addReceived(index, false);
        continue;
      }
      for (const packet of decoder.packets(record)) {
        counts.addReceived(packet.interface, true);
        const lost = this.#untold[packet.interface] ?? 0;
        this.#untold[packet.interface] = 0;
        order.add(lost > 0 ? { ...packet, dropped: BigInt(lost) } : packet);
        if (++this.#added === most) return true;
      }
    }
    return false;
  }

  /** Writes the packets that are in order. @param isLast all of them */
  async deliver(isLast: boolean): Promise<void> {
    const { order, sink, counts } = this.#run;
    for (const packet of isLast ? order.takeAll() : order.take()) {
      await sink.packet(packet);
      counts.addDelivered(packet.interface);
    }
  }
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

  /** Counts packets of an interface that the workers had to drop. */
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
