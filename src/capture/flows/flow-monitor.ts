import type { CaptureSource } from '../live/capture-hub.ts';
import { type FlowFollower, FlowMeter } from './flow-meter.ts';
import type { FlowReport } from './flow-report.ts';
import { DEFAULT_CAPACITY } from './flow-table.ts';

/** How long the table stays on after somebody asked, milliseconds. */
export const HOLD_MS = 15_000;

/**
 * The flow table of one data plane. Off, it costs nothing: the workers copy no frame, and there is no table. It is
 * turned on by the first who asks and off when nobody has asked for a while, or is kept on. Runs on the control thread;
 * what it cannot look at in time the workers count and leave out, and the counts are scaled up by that.
 */
export class FlowMonitor {
  readonly #source: CaptureSource;
  readonly #device: string;
  readonly #capacity: number;
  /** With what each wants to be told when the data plane ends. */
  readonly #followers = new Map<FlowFollower, () => void>();
  #run: FlowMeter | undefined;
  #askedAt = 0;
  #isKept = false;

  /** @param device of the overlay, for the rows */
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

  /** What the table says now. The first call turns it on, and tells nothing yet. */
  report(): FlowReport {
    this.#askedAt = Date.now();
    return this.#on().report();
  }

  /**
   * Tells what each flow did, when it is over and once a minute; the table stays on as long.
   * @param over called when the data plane has ended: nothing comes any more
   * @returns ends it
   */
  follow(follower: FlowFollower, over: () => void): () => void {
    this.#followers.set(follower, over);
    this.#on();
    return () => this.#followers.delete(follower);
  }

  /** Turns the table off, and forgets it. */
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
