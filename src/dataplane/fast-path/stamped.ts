import type { Batch } from '../descriptor/descriptor.ts';
import type { DatagramPort, FrameDevice } from '../io/interfaces.ts';
import { type Taps, wantedPoints } from '../tap/tap.ts';

/*
 * The end by which a direction reads, which writes down when it had read a batch. It looks at the clock only while
 * somebody watches; else it costs a comparison a batch.
 */

/** For egress. */
export class StampedDevice implements FrameDevice {
  readonly #device: FrameDevice;
  readonly #taps: Taps;

  constructor(device: FrameDevice, taps: Taps) {
    this.#device = device;
    this.#taps = taps;
  }

  readBatch(batch: Batch, timeoutMs: number): number {
    const count = this.#device.readBatch(batch, timeoutMs);
    if (wantedPoints(this.#taps) !== 0) this.#taps.readAt[0] = performance.now();
    return count;
  }

  writeBatch(batch: Batch, count: number): number {
    return this.#device.writeBatch(batch, count);
  }

  close(): void {
    this.#device.close();
  }
}

/** For ingress. */
export class StampedPort implements DatagramPort {
  readonly sources: Int32Array;
  readonly #port: DatagramPort;
  readonly #taps: Taps;

  constructor(port: DatagramPort, taps: Taps) {
    this.sources = port.sources;
    this.#port = port;
    this.#taps = taps;
  }

  receiveBatch(batch: Batch, timeoutMs: number): number {
    const count = this.#port.receiveBatch(batch, timeoutMs);
    if (wantedPoints(this.#taps) !== 0) this.#taps.readAt[0] = performance.now();
    return count;
  }

  sendBatch(batch: Batch, count: number, peers: Int32Array): number {
    return this.#port.sendBatch(batch, count, peers);
  }

  close(): void {
    this.#port.close();
  }
}
