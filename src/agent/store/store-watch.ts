import { pause } from '../../base/backoff.ts';
import { describeError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import { LogBudget } from '../../base/logging/budget.ts';
import { heapTrim } from '../../base/memory/heap-trim.ts';
import type { Lease } from '../lease/lease.ts';
import type { KeptLeases, LeaseStore, StoreObserver } from '../lease/store.ts';

/** The reports of a store that the agent handles; the others are only kept and logged. */
export interface StoreEvents extends Pick<StoreObserver, 'leases' | 'config' | 'conflict'> {
  up(): void;
  /** The store came back without known leases; they are kept. */
  emptied(message: string): void;
}

/** Entries that are not leases, whose faults are logged per minute. */
const MALFORMED_PER_MINUTE = 20;
/** How long a start waits for the first leases, ms. */
const FIRST_LEASES_MS = 5000;

/** Follows the store and keeps its last report. */
export class StoreWatch {
  readonly #store: LeaseStore;
  readonly #log: Log;
  readonly #malformed: LogBudget;
  /** All leases by key, of the last report or as they were saved; undefined while neither is known. */
  leases: ReadonlyMap<string, Lease> | undefined;
  isFollowing = false;
  isUp = false;
  /** Since when the store is unreachable, wall clock in ms; undefined while it answers. */
  downSince: number | undefined;
  /** Leases that the store lost and that are kept for a while. */
  kept: KeptLeases | undefined;
  /** Resolve when the first leases are known. */
  #waiting: (() => void)[] = [];

  constructor(store: LeaseStore, log: Log) {
    this.#store = store;
    this.#log = componentLog(log, 'store');
    this.#malformed = new LogBudget(MALFORMED_PER_MINUTE, count =>
      this.#log.warn(`ignoring ${count} more entries that are not leases; \`ripstop doctor\` names some`),
    );
  }

  /** Leases that are known without the store: saved ones, or those of a file. */
  remember(leases: ReadonlyMap<string, Lease>, kept?: KeptLeases): void {
    this.leases = leases;
    this.kept = kept;
  }

  /** Takes the leases that the store has without asking anyone, if it is such a store. */
  rememberListed(): void {
    if (this.#store.leases) this.remember(this.#store.leases);
  }

  /** A call to the store failed because it cannot be reached. */
  unreachable(): void {
    this.downSince ??= Date.now();
  }

  /** A call to the store succeeded. */
  reached(): void {
    if (this.isUp || !this.isFollowing) this.downSince = undefined;
  }

  /**
   * Resolves when leases are known, or after some seconds. The device that flannel left carries packets until the overlay
   * opens: with the peers known before, the interruption ends with the replacement of the device.
   */
  async firstLeases(signal: AbortSignal): Promise<void> {
    if (this.leases) return;
    const known = new Promise<void>(resolve => this.#waiting.push(resolve));
    await Promise.race([known, pause(FIRST_LEASES_MS, signal)]);
  }

  /** Begins to follow; later calls do nothing. @param own key of this node's lease */
  follow(own: string, events: StoreEvents): void {
    if (this.isFollowing) return;
    this.isFollowing = true;
    const observer: StoreObserver = {
      leases: (all, changed) => {
        this.leases = all;
        for (const resolve of this.#waiting.splice(0)) resolve();
        events.leases(all, changed);
        heapTrim.note(changed?.size ?? all.size);
      },
      config: text => events.config(text),
      conflict: error => events.conflict(error),
      up: () => {
        this.isUp = true;
        this.downSince = undefined;
        this.#log.info({ store: this.#store.location }, 'the lease store is reachable');
        for (const text of this.#store.lacking ?? []) this.#log.warn(text);
        events.up();
      },
      down: error => {
        this.isUp = false;
        this.unreachable();
        this.#log.warn(`lease store unreachable, keeping the current peers: ${describeError(error)}`);
      },
      malformed: error => {
        if (this.#malformed.take()) this.#log.warn(`ignoring: ${describeError(error)}`);
      },
      retrying: error => {
        // A store that is unreachable takes no writes either.
        if (this.downSince === undefined) this.#log.warn(`trying again: ${describeError(error)}`);
      },
      wrote: what => this.#log.info(`the ${what} can be written again`),
      kept: kept => {
        const former = this.kept;
        this.kept = kept;
        if (!kept) this.#log.info('the lease store has all known leases again: none is kept from before');
        else if (former?.why !== kept.why) {
          const message = describeKept(this.#store.location, kept);
          this.#log.error({ leases: kept.keys.length }, message);
          events.emptied(message);
        }
      },
    };
    this.#store.follow(observer, { own, leases: this.leases ?? new Map(), kept: this.kept });
  }
}

/** The fault in a sentence, for log, Event and doctor. */
export function describeKept(location: string, { keys, until, why }: KeptLeases): string {
  return `${location} came back without known leases (${why}): keeping ${keys.length} of them until ${new Date(until).toISOString()}`;
}
