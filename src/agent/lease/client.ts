import { Backoff } from '../../base/backoff.ts';
import { type Clock, monotonicMs } from '../../base/clock.ts';
import { describeError, hasCode, toError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import { type Lease, sameAttributes, sameSubnets } from './lease.ts';
import type { LeaseRequest, LeaseStore } from './store.ts';

export interface LeaseClientEvents {
  /** The lease was acquired again, with the same subnet. */
  held(): void;
  /** The lease has a later end. */
  renewed(): void;
  /** The store answers, and this node has no lease in it: no subnet, no Node, a rival. The client keeps trying. */
  lost(error: Error): void;
  /** The lease was acquired again with another subnet: the overlay must restart. */
  moved(lease: Lease): void;
}

interface Held {
  readonly config: NetworkConfig;
  readonly lease: Lease;
}

/** Keeps the lease of the running network: acquires it, renews it, and acquires it again when it is lost. Traffic is not affected. */
export class LeaseClient {
  readonly #store: LeaseStore;
  readonly #marginMs: number;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #events: LeaseClientEvents;
  #held: Held | undefined;
  #renewal: RenewalClock | undefined;
  /** Why the lease cannot be renewed or reacquired at the moment. */
  readonly failing = new Map<'lease', string>();
  #isReacquiring = false;
  /** Counts networks: an acquisition for one must not write for the next. */
  #generation = 0;
  /** The next network acquires its lease, or has it and is being prepared: nothing is reacquired for the present one. */
  #isHandedOver = false;
  /** Serializes acquisitions: two at once could overwrite each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: LeaseStore, marginMs: number, log: Log, signal: AbortSignal, events: LeaseClientEvents) {
    this.#store = store;
    this.#marginMs = marginMs;
    this.#log = componentLog(log, 'lease');
    this.#signal = signal;
    this.#events = events;
  }

  /**
   * Acquires the lease of a network that starts next, with `hold`. The present one is released first: its attributes may be old.
   */
  async acquire(request: LeaseRequest): Promise<Lease> {
    this.release();
    this.#isHandedOver = true;
    try {
      return await this.#oneByOne(() => this.#store.acquire(this.#waitable(request)));
    } catch (error) {
      this.#isHandedOver = false;
      throw error;
    }
  }

  /** A network starts on this lease. */
  hold(config: NetworkConfig, lease: Lease): void {
    this.#held = { config, lease };
    this.#isHandedOver = false;
    this.#renewal = new RenewalClock(lease, this.#marginMs);
  }

  /** Nothing is renewed or reacquired until `hold`. */
  release(): void {
    this.#generation++;
    this.#held = undefined;
    this.#renewal = undefined;
    this.failing.clear();
  }

  /** The lease that is held; undefined between two networks. */
  get lease(): Lease | undefined {
    return this.#held?.lease;
  }

  /** Milliseconds until the lease ends; undefined when it does not. */
  get leftMs(): number | undefined {
    return this.#renewal?.leftMs;
  }

  /** Compares our lease with the store's: an operator may have deleted it, or another program changed it. */
  check(all: ReadonlyMap<string, Lease>): void {
    const own = this.#held?.lease;
    if (!own) return;
    const why = differenceOf(all.get(own.key), own);
    if (why) void this.reacquire(why);
  }

  async renewWhenDue(): Promise<void> {
    const held = this.#held;
    if (!held || this.#isReacquiring || !this.#renewal?.isDue) return;
    try {
      const renewed = await this.#store.renew(held.lease);
      if (!renewed) {
        await this.reacquire('the lease had ended');
        return;
      }
      const { expiresAt, term } = renewed;
      if (this.#held === held)
        this.hold(held.config, { ...held.lease, expiresAt, ...(term === undefined ? {} : { term }) });
      this.failing.clear();
      this.#log.info({ lease: renewed.key }, 'lease renewed');
      this.#events.renewed();
    } catch (error) {
      const text = `cannot be renewed: ${describeError(error)}`;
      if (this.failing.get('lease') !== text) this.#log.warn(`the lease ${text}`);
      this.failing.set('lease', text);
    }
  }

  /**
   * Acquires the lease again, and tries until that succeeds.
   * @param fallback what to hold when nothing is held yet (a saved lease that the store has not confirmed)
   */
  async reacquire(why: string, fallback?: Held): Promise<void> {
    if (this.#isReacquiring || this.#isHandedOver) return;
    this.#isReacquiring = true;
    const backoff = new Backoff(500, 10_000);
    const generation = this.#generation;
    const isOver = (): boolean => generation !== this.#generation || this.#signal.aborted;
    try {
      for (;;) {
        const held = this.#held ?? fallback;
        if (!held || isOver()) return;
        try {
          const { config, lease } = held;
          const request = { config, attributes: lease.attributes, previous: lease };
          const taken = await this.#oneByOne(async () =>
            isOver() ? undefined : this.#store.acquire(this.#waitable(request)),
          );
          // Another network acquires the lease by now, and this one must not hold what that one replaces.
          if (!taken || isOver()) return;
          this.failing.clear();
          this.#log.info({ lease: taken.key }, `lease reacquired: ${why}`);
          if (sameSubnets(taken, lease)) {
            this.hold(config, taken);
            this.#events.held();
          } else this.#events.moved(taken);
          return;
        } catch (error) {
          // Another network acquires the lease by now: this failure says nothing about that.
          if (isOver()) return;
          const text = `${why}; cannot reacquire it: ${describeError(error)}`;
          // Once, not at each attempt.
          if (this.failing.get('lease') !== text) this.#log.error(text);
          this.failing.set('lease', text);
          if (!hasCode(error, 'ESTORE')) this.#events.lost(toError(error));
          await backoff.wait(this.#signal);
        }
      }
    } finally {
      this.#isReacquiring = false;
    }
  }

  #waitable(request: LeaseRequest): LeaseRequest {
    return { ...request, waiting: why => this.#log.warn(why), signal: this.#signal };
  }

  #oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }
}

function differenceOf(seen: Lease | undefined, own: Lease): string | undefined {
  if (!seen) return 'our lease is gone from the store';
  if (!sameSubnets(seen, own)) return 'the store has another subnet for us';
  if (!sameAttributes(seen.attributes, own.attributes)) return 'our lease was overwritten';
  if (seen.term !== undefined && own.term !== undefined && seen.term !== own.term)
    return 'the end of our lease was changed';
  return undefined;
}

/**
 * When to renew a lease. Two clocks count: the wall clock, because a machine that slept must renew at once, and the
 * monotonic one, because a wall clock that was set back would renew too late.
 */
export class RenewalClock {
  readonly #expiresAt: number | undefined;
  readonly #wall: Clock;
  readonly #monotonic: Clock;
  readonly #dueWall: number;
  readonly #dueMonotonic: number;
  readonly #endMonotonic: number;

  /** @param marginMs how long before its end a lease is renewed; at most half of its duration */
  constructor(lease: Lease, marginMs: number, wall: Clock = Date.now, monotonic: Clock = monotonicMs) {
    this.#expiresAt = lease.expiresAt || undefined;
    this.#wall = wall;
    this.#monotonic = monotonic;
    const duration = this.#expiresAt === undefined ? Number.POSITIVE_INFINITY : this.#expiresAt - wall();
    const wait = duration - Math.min(marginMs, duration / 2);
    this.#dueWall = wall() + wait;
    this.#dueMonotonic = monotonic() + wait;
    this.#endMonotonic = monotonic() + duration;
  }

  get isDue(): boolean {
    return this.#wall() >= this.#dueWall || this.#monotonic() >= this.#dueMonotonic;
  }

  /** Milliseconds until the lease ends, by the clock that is further on; undefined when it does not end. */
  get leftMs(): number | undefined {
    if (this.#expiresAt === undefined) return undefined;
    return Math.min(this.#expiresAt - this.#wall(), this.#endMonotonic - this.#monotonic());
  }
}
