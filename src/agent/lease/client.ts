import { Backoff } from '../../base/backoff.ts';
import { describeError, hasCode, toError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import { type Lease, sameAttributes, sameSubnets } from './lease.ts';
import { RenewalClock } from './renewal.ts';
import type { LeaseStore, LeaseWish } from './store.ts';

export interface HolderEvents {
  /** The lease is ours again, with the same subnet. */
  held(): void;
  /** The lease lasts longer now. */
  renewed(): void;
  /** Another live node uses our address; trying goes on. */
  contested(error: Error): void;
  /** The lease is ours again with another subnet: all that stands on the old one must go. */
  moved(lease: Lease): void;
}

interface Held {
  readonly config: NetworkConfig;
  readonly lease: Lease;
}

/** Keeps the lease of a running session: renews it, and takes it again when it is lost. Touches no traffic. */
export class LeaseHolder {
  readonly #store: LeaseStore;
  readonly #marginMs: number;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #events: HolderEvents;
  #held: Held | undefined;
  #renewal: RenewalClock | undefined;
  readonly #failing = new Map<'lease', string>();
  #isClaiming = false;
  /** Counts sessions: a claim for one must not write for the next. */
  #generation = 0;
  /** Ends when no acquisition is under way: two at once could write over one another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: LeaseStore, marginMs: number, log: Log, signal: AbortSignal, events: HolderEvents) {
    this.#store = store;
    this.#marginMs = marginMs;
    this.#log = log;
    this.#signal = signal;
    this.#events = events;
  }

  /** Takes the lease for a session to come. What is held until then is let go: its attributes may be old ones. */
  async acquire(wish: LeaseWish): Promise<Lease> {
    this.release();
    return this.#oneByOne(() => this.#store.acquire(wish));
  }

  /** A session begins on this lease. */
  hold(config: NetworkConfig, lease: Lease): void {
    this.#held = { config, lease };
    this.#renewal = new RenewalClock(lease, this.#marginMs);
  }

  /** Nothing is renewed or taken again until `hold`. */
  release(): void {
    this.#generation++;
    this.#held = undefined;
    this.#renewal = undefined;
    this.#failing.clear();
  }

  /** What is held; undefined between two sessions. */
  get lease(): Lease | undefined {
    return this.#held?.lease;
  }

  /** Why the lease cannot be renewed, or taken again, at the moment. */
  get failing(): ReadonlyMap<string, string> {
    return this.#failing;
  }

  /** Milliseconds until the lease ends; undefined when it does not. */
  get leftMs(): number | undefined {
    return this.#renewal?.leftMs;
  }

  /** Looks for our lease among all: an operator may have deleted it, or someone have written over it. */
  check(all: ReadonlyMap<string, Lease>): void {
    const own = this.#held?.lease;
    if (!own) return;
    const seen = all.get(own.key);
    if (!seen) void this.claim('our lease is gone from the store');
    else if (!sameSubnets(seen, own)) void this.claim('the store has another subnet for us');
    else if (!sameAttributes(seen.attributes, own.attributes)) void this.claim('our lease was written over');
  }

  async renewWhenDue(): Promise<void> {
    const held = this.#held;
    if (!held || this.#isClaiming || !this.#renewal?.isDue) return;
    try {
      const renewed = await this.#store.renew(held.lease);
      if (!renewed) {
        await this.claim('the lease had ended');
        return;
      }
      if (this.#held === held) this.hold(held.config, { ...held.lease, expiresAt: renewed.expiresAt });
      this.#failing.clear();
      this.#log.info({ lease: renewed.key }, 'lease renewed');
      this.#events.renewed();
    } catch (error) {
      this.#failing.set('lease', `it could not be renewed: ${describeError(error)}`);
      this.#log.warn(`the lease could not be renewed, trying again: ${describeError(error)}`);
    }
  }

  /**
   * Takes the lease anew, as often as it takes.
   * @param basis what to hold when nothing is held yet (a lease from memory, to be confirmed)
   */
  async claim(why: string, basis?: Held): Promise<void> {
    if (this.#isClaiming) return;
    this.#isClaiming = true;
    const backoff = new Backoff(500, 10_000);
    const generation = this.#generation;
    const isOver = (): boolean => generation !== this.#generation || this.#signal.aborted;
    try {
      for (;;) {
        const held = this.#held ?? basis;
        if (!held || isOver()) return;
        try {
          const { config, lease } = held;
          const wish = { config, attributes: lease.attributes, previous: lease };
          const taken = await this.#oneByOne(async () => (isOver() ? undefined : this.#store.acquire(wish)));
          if (!taken) return;
          this.#failing.clear();
          this.#log.info({ lease: taken.key }, `holding the lease again: ${why}`);
          if (sameSubnets(taken, lease)) {
            this.hold(config, taken);
            this.#events.held();
          } else this.#events.moved(taken);
          return;
        } catch (error) {
          this.#failing.set('lease', `${why}, and it could not be taken again: ${describeError(error)}`);
          this.#log.error(`${why}, and it could not be taken again: ${describeError(error)}`);
          if (hasCode(error, 'EINUSE')) this.#events.contested(toError(error));
          await backoff.wait(this.#signal);
        }
      }
    } finally {
      this.#isClaiming = false;
    }
  }

  #oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }
}
