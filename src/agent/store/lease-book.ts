import { formatAttributes, type Lease, sameSubnets } from '../lease/lease.ts';
import type { StoreObserver } from '../lease/store.ts';

/** How long changes are gathered after the observer was told, ms: what comes together is applied together. */
export const GATHER_MS = 50;

/**
 * The leases that a store has read, and the news of them. Every store keeps one: it tells the observer at most once in
 * `GATHER_MS` and names the keys that changed, so that a change costs the same for ten nodes and for thousands. A change
 * after a pause is told at once. A lease that was written again with the same content (a renewal) is no news.
 */
export class LeaseBook {
  readonly #leases = new Map<string, Lease>();
  readonly #changed = new Set<string>();
  readonly #tell: StoreObserver['leases'];
  readonly #gatherMs: number;
  /** True once a whole list was told. */
  #isTold = false;
  /** A whole list waits to be told. */
  #isWhole = false;
  #timer: NodeJS.Timeout | undefined;
  /** When the observer was told last, monotonic ms. */
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(tell: StoreObserver['leases'], gatherMs = GATHER_MS) {
    this.#tell = tell;
    this.#gatherMs = gatherMs;
  }

  /** All leases by key, as they are now; changes in place. */
  get leases(): ReadonlyMap<string, Lease> {
    return this.#leases;
  }

  put(lease: Lease): void {
    const known = this.#leases.get(lease.key);
    if (known === lease) return;
    this.#leases.set(lease.key, lease);
    if (!known || !saysTheSame(known, lease)) this.#note(lease.key);
  }

  delete(key: string): void {
    if (this.#leases.delete(key)) this.#note(key);
  }

  /** Takes a whole list: what is not in it is gone. The first one is told even when it is empty. */
  replace(all: Iterable<Lease>): void {
    const keys = new Set<string>();
    for (const lease of all) {
      keys.add(lease.key);
      this.put(lease);
    }
    for (const key of [...this.#leases.keys()]) if (!keys.has(key)) this.delete(key);
    if (!this.#isTold) this.#isWhole = true;
  }

  /** Tells what has changed, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isWhole && this.#changed.size === 0) return;
    const changed = this.#isWhole ? undefined : new Set(this.#changed);
    this.#changed.clear();
    this.#isTold ||= this.#isWhole;
    this.#isWhole = false;
    this.#toldAt = performance.now();
    this.#tell(this.#leases, changed);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #note(key: string): void {
    this.#changed.add(key);
    // Before the first whole list nothing is told: a part would look like a cluster of few nodes.
    if (!this.#isTold) return;
    const restMs = this.#toldAt + this.#gatherMs - performance.now();
    this.#timer ??= setTimeout(() => this.flush(), Math.max(0, restMs));
  }
}

/** True when a peer has nothing new to learn from the lease; times do not count. */
function saysTheSame(a: Lease, b: Lease): boolean {
  return (
    a.node === b.node &&
    sameSubnets(a, b) &&
    (a.attributes === b.attributes || formatAttributes(a.attributes) === formatAttributes(b.attributes))
  );
}
