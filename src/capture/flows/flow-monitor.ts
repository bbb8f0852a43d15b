import { requireAddress } from '../../ip/address.ts';
import type { CaptureSource } from '../live/capture-hub.ts';
import { addressWords } from './flow-fields.ts';
import { type FlowFollower, FlowMeter } from './flow-meter.ts';
import type { FlowReport } from './flow-report.ts';
import { DEFAULT_CAPACITY } from './flow-table.ts';

/** How long the table stays on after a request, milliseconds. */
export const HOLD_MS = 15_000;

/**
 * The flow table of one data plane. While it is off, there is no table and the workers copy no frames. The first request
 * turns it on; it goes off after HOLD_MS without a request, unless it is kept on. Runs on the control thread. The workers
 * count the frames that come too fast for it, and the table scales its counts accordingly.
 */
export class FlowMonitor {
  readonly #source: CaptureSource;
  readonly #device: string;
  readonly #capacity: number;
  /** Followers, each with the callback for the end of the data plane. */
  readonly #followers = new Map<FlowFollower, () => void>();
  #run: FlowMeter | undefined;
  #askedAt = 0;
  #isKept = false;

  /** @param device overlay device, for the rows */
  constructor(source: CaptureSource, device: string, capacity = DEFAULT_CAPACITY) {
    this.#source = source;
    this.#device = device;
    this.#capacity = capacity;
  }

  /** Turns the table on and keeps it on until the data plane ends. */
  keep(): void {
    this.#isKept = true;
    this.#on();
  }

  /** The current table. The first call turns it on and returns an empty table. */
  report(): FlowReport {
    this.#askedAt = Date.now();
    return this.#on().report();
  }

  /**
   * Sends a log line of each flow when it ends and once per minute. Keeps the table on.
   * @param over called when the data plane has ended
   * @returns a function that stops it
   */
  follow(follower: FlowFollower, over: () => void): () => void {
    this.#followers.set(follower, over);
    this.#on();
    return () => this.#followers.delete(follower);
  }

  /** The owner of these addresses changes now: packets that come from now on begin new flows. */
  retire(addresses: readonly string[]): void {
    this.#run?.retire(addresses.map(address => addressWords(requireAddress(address))));
  }

  /** Turns the table off and discards it. */
  close(): void {
    this.#run?.stop();
    this.#run = undefined;
  }

  #on(): FlowMeter {
    this.#run ??= new FlowMeter(this.#source, this.#device, this.#capacity, this.#followers, () => {
      const isWanted = this.#isKept || this.#followers.size > 0 || Date.now() - this.#askedAt < HOLD_MS;
      if (!isWanted || this.#source.isClosed) this.close();
      if (this.#source.isClosed) for (const over of this.#followers.values()) over();
    });
    return this.#run;
  }
}
