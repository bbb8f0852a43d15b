import { setTimeout as sleep } from 'node:timers/promises';
import { packetRate, type Route, roundTrip, throughput } from '../../lab/measure.ts';

/** Packets per second of the stream that never ends. It must not take the processor from what is measured. */
const PACE = 2000;
const LEG_SECONDS = 5;

/** Traffic in both directions between two pods until `stop`: a stream of packets, and connections and bulk data in turn. */
export class Traffic {
  readonly #there: Route;
  readonly #back: Route;
  #isStopping = false;
  #received = 0;
  #failed = 0;
  readonly #running: Promise<void>[];

  constructor(there: Route, back: Route) {
    this.#there = there;
    this.#back = back;
    this.#running = [this.#stream(), this.#turns()];
  }

  /** Packets and answers that arrived. */
  get received(): number {
    return this.#received;
  }

  /** Turns that ended with an error: a reload or a change of the device interrupted them. */
  get failed(): number {
    return this.#failed;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }

  async #stream(): Promise<void> {
    while (!this.#isStopping)
      await this.#attempt(async () => (await packetRate(this.#there, LEG_SECONDS, 200, 8, PACE)).received);
  }

  async #turns(): Promise<void> {
    const turns = [
      async () => (await roundTrip(this.#back, 1, 'connect')).count,
      async () => (await roundTrip(this.#there, 1, 'tcp')).count,
      async () => Math.round((await throughput(this.#back, 1)).gbitPerSecond * 1000),
    ];
    for (let at = 0; !this.#isStopping; at++) await this.#attempt(turns[at % turns.length]!);
  }

  async #attempt(turn: () => Promise<number>): Promise<void> {
    try {
      this.#received += await turn();
    } catch {
      // An interrupted connection is part of the churn. That traffic flows in the end is checked at the end.
      this.#failed++;
    }
    await sleep(200);
  }
}
