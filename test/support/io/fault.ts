import {
  type Batch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_STRIDE,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import type { DatagramPort, FrameDevice } from '../../../src/dataplane/io/interfaces.ts';

/*
 * Ends that misbehave on purpose, by a seed: they wrap another end and spoil what it hands over. What is lost,
 * changed, doubled and swapped is counted, so that a test can hold the other side's counters against it.
 */

/** Probabilities, 0 to 1, each drawn for every frame or datagram that is handed over. */
export interface Faults {
  readonly seed: number;
  readonly lose?: number;
  /** One bit is flipped. */
  readonly corrupt?: number;
  /** Handed over twice. */
  readonly duplicate?: number;
  /** Changes places with the one before it. */
  readonly swap?: number;
}

export interface FaultCounts {
  lost: number;
  corrupted: number;
  duplicated: number;
  swapped: number;
}

/** Spoils batches; the same seed spoils the same. */
class Spoiler {
  readonly counts: FaultCounts = { lost: 0, corrupted: 0, duplicated: 0, swapped: 0 };
  readonly #faults: Faults;
  #state: number;

  constructor(faults: Faults) {
    this.#faults = faults;
    this.#state = faults.seed | 0;
  }

  /** Spoils the descriptors 0..count-1. @returns how many there are afterwards */
  spoil(batch: Batch, count: number): number {
    const { lose = 0, corrupt = 0, duplicate = 0, swap = 0 } = this.#faults;
    const { table, slab } = batch;
    const kept: Int32Array[] = [];
    for (let i = 0; i < count; i++) {
      const descriptor = table.slice(i * DESC_STRIDE, (i + 1) * DESC_STRIDE);
      if (this.#chance(lose)) {
        this.counts.lost++;
        continue;
      }
      if (descriptor[DESC_LENGTH]! > 0 && this.#chance(corrupt)) {
        const at = descriptor[DESC_OFFSET]! + Math.floor(this.#random() * descriptor[DESC_LENGTH]!);
        slab[at]! ^= 1 << Math.floor(this.#random() * 8);
        this.counts.corrupted++;
      }
      kept.push(descriptor);
      if (kept.length > 1 && this.#chance(swap)) {
        kept.splice(kept.length - 2, 0, kept.pop()!);
        this.counts.swapped++;
      }
      // A copy shares the bytes of its original, which does not change before both are classified.
      if (kept.length + count - i - 1 < batch.capacity && this.#chance(duplicate)) {
        kept.push(descriptor.slice());
        this.counts.duplicated++;
      }
    }
    for (const [i, descriptor] of kept.entries()) table.set(descriptor, i * DESC_STRIDE);
    return kept.length;
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#random() < probability;
  }

  /** mulberry32: 0 to 1, the same on every machine. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** A device whose frames suffer on their way in. */
export function faultyDevice(
  device: FrameDevice,
  faults: Faults,
): FrameDevice & { readonly counts: FaultCounts } {
  const spoiler = new Spoiler(faults);
  return {
    counts: spoiler.counts,
    readBatch: (batch, timeoutMs) => spoiler.spoil(batch, device.readBatch(batch, timeoutMs)),
    writeBatch: (batch, count) => device.writeBatch(batch, count),
  };
}

/** A port whose datagrams suffer on their way in. */
export function faultyPort(
  port: DatagramPort,
  faults: Faults,
): DatagramPort & { readonly counts: FaultCounts } {
  const spoiler = new Spoiler(faults);
  return {
    counts: spoiler.counts,
    sources: port.sources,
    sendBatch: (batch, count, peers) => port.sendBatch(batch, count, peers),
    receiveBatch: (batch, timeoutMs) => spoiler.spoil(batch, port.receiveBatch(batch, timeoutMs)),
  };
}
