import { type Clock, monotonicMs } from '../../base/clock.ts';
import type { Lease } from './lease.ts';

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

  /** @param marginMs how long before its end a lease is renewed; at most half of its life */
  constructor(lease: Lease, marginMs: number, wall: Clock = Date.now, monotonic: Clock = monotonicMs) {
    this.#expiresAt = lease.expiresAt || undefined;
    this.#wall = wall;
    this.#monotonic = monotonic;
    const life = this.#expiresAt === undefined ? Number.POSITIVE_INFINITY : this.#expiresAt - wall();
    const wait = life - Math.min(marginMs, life / 2);
    this.#dueWall = wall() + wait;
    this.#dueMonotonic = monotonic() + wait;
    this.#endMonotonic = monotonic() + life;
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
