import type { Log } from '../base/log.ts';
import { Endpoints } from './endpoints.ts';
import type { Condition, Readiness } from './readiness.ts';
import { UncaughtRecord } from './uncaught-record.ts';

/** What the agent's process has beside the overlay: its listeners, and the record of errors that ended it. */
export class Beside {
  readonly endpoints: Endpoints;
  readonly uncaught: UncaughtRecord;
  readonly #readiness: Readiness;
  readonly #announce: () => void;

  /** @param announce called when the node may be ready again */
  constructor(stateDir: string, log: Log, readiness: Readiness, announce: () => void) {
    this.endpoints = new Endpoints(log);
    this.uncaught = new UncaughtRecord(stateDir);
    this.#readiness = readiness;
    this.#announce = announce;
  }

  /** A condition of readiness that no session decides on holds again. */
  supply(condition: Condition): void {
    if (this.#readiness.setTrue(condition)) this.#announce();
  }
}
