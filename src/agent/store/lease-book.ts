import { formatPrefix } from '../../ip/prefix.ts';
import { formatAttributes, identityOf, type Lease, sameSubnets } from '../lease/lease.ts';
import { addTo, deleteFrom } from '../lease/set-map.ts';
import type { KnownLeases, StoreObserver } from '../lease/store.ts';

/** How long leases are kept that a store lost all at once, ms. */
const KEEP_MS = 10 * 60_000;

/** How long changes are gathered after a report, ms. */
export const GATHER_MS = 50;

export interface BookOptions {
  readonly gatherMs?: number;
  readonly keepMs?: number;
}

/**
 * The leases that a store has read, and the reports of their changes. It reports to the observer at most once in `GATHER_MS`,
 * with the keys that changed, so that a change costs the same for ten nodes and for thousands. A change after a pause is
 * reported at once. A lease that was written again with the same content (a renewal) is not reported.
 *
 * When a store comes back empty (another data directory, a volume that is not mounted), the leases that it lost are kept for
 * `KEEP_MS`. A kept lease ends earlier when it returns, or when another lease has its
 * subnet or its public address.
 */
export class LeaseBook {
  readonly #leases = new Map<string, Lease>();
  readonly #changed = new Set<string>();
  readonly #observer: Pick<StoreObserver, 'leases' | 'kept'>;
  readonly #options: BookOptions;
  readonly #kept = new KeptIndex();
  /** Key of this node's lease. */
  own: string | undefined;
  #why = '';
  #until = 0;
  #keeping: NodeJS.Timeout | undefined;
  /** The last report of the kept leases. */
  #keptTold = '';
  /** True once a whole list was reported. */
  #isTold = false;
  /** A whole list waits to be reported. */
  #isWhole = false;
  #timer: NodeJS.Timeout | undefined;
  /** Time of the last report, monotonic ms. */
  #toldAt = Number.NEGATIVE_INFINITY;

  /** @param known of an earlier run: a first list without any of them is that of a store which was emptied */
  constructor(
    observer: Pick<StoreObserver, 'leases' | 'kept'>,
    known?: KnownLeases,
    options: BookOptions = {},
  ) {
    this.#observer = observer;
    this.#options = options;
    this.own = known?.own;
    for (const [key, lease] of known?.leases ?? []) this.#leases.set(key, lease);
    if (known?.kept) this.#keep(known.kept.keys, known.kept.why, known.kept.until - Date.now());
  }

  /** All leases by key, as they are now; changes in place. */
  get leases(): ReadonlyMap<string, Lease> {
    return this.#leases;
  }

  put(lease: Lease): void {
    const known = this.#leases.get(lease.key);
    this.#contradict(lease);
    if (known === lease) return;
    this.#leases.set(lease.key, lease);
    if (!known || !saysTheSame(known, lease)) this.#note(lease.key);
  }

  delete(key: string): void {
    this.#kept.delete(key);
    if (this.#leases.delete(key)) this.#note(key);
  }

  /** True when nothing of the other nodes is left after these keys are gone. */
  isEmptyWithout(keys: readonly string[]): boolean {
    const gone = new Set(keys);
    for (const key of this.#leases.keys())
      if (key !== this.own && !gone.has(key) && !this.#kept.has(key)) return false;
    return true;
  }

  /**
   * Takes a whole list: other leases are gone, unless the store was emptied. The first list is reported even when it is
   * empty.
   * @param emptied the reason why the store was certainly emptied; false when it was certainly not; absent: it was when none
   *   of the other nodes' leases is left, or when this node's lease is gone as well
   */
  replace(all: Iterable<Lease>, emptied?: string | false): void {
    const fresh = [...all];
    const keys = new Set(fresh.map(lease => lease.key));
    const foreign = fresh.filter(lease => lease.key !== this.own).length;
    for (const lease of fresh) this.put(lease);
    const gone = [...this.#leases.keys()].filter(key => !keys.has(key) && !this.#kept.has(key));
    const others = gone.filter(key => key !== this.own);
    const isOwnGone = this.own !== undefined && gone.includes(this.own);
    const why =
      emptied ??
      (foreign === 0
        ? 'the leases of all other nodes are gone from one list'
        : isOwnGone && 'the leases of this and of other nodes are gone from one list');
    if (why !== false && others.length > 0) {
      this.#keep(others, why);
      for (const lease of fresh) this.#contradict(lease);
    }
    for (const key of gone) if (!this.#kept.has(key)) this.delete(key);
    if (!this.#isTold) this.#isWhole = true;
  }

  /** Reports the changes now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isWhole && this.#changed.size === 0) return;
    const changed = this.#isWhole ? undefined : new Set(this.#changed);
    this.#changed.clear();
    this.#isTold ||= this.#isWhole;
    this.#isWhole = false;
    this.#toldAt = performance.now();
    this.#tellKept();
    this.#observer.leases(this.#leases, changed);
  }

  close(): void {
    clearTimeout(this.#keeping);
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Ends the kept leases that a lease of the store replaces. */
  #contradict(lease: Lease): void {
    for (const key of this.#kept.contradictedBy(lease)) {
      this.#kept.delete(key);
      if (key !== lease.key) this.delete(key);
      // Also when the lease is unchanged: the number of kept leases is reported.
      else this.#note(key);
    }
  }

  #keep(keys: readonly string[], why: string, keepMs = this.#options.keepMs ?? KEEP_MS): void {
    this.#why = why;
    this.#until = Date.now() + keepMs;
    for (const key of keys) {
      const known = this.#leases.get(key);
      if (!known) continue;
      // Whether its node is alive is not known any more.
      const lease = { ...known, node: undefined, isKept: true };
      this.#kept.add(lease);
      this.#leases.set(key, lease);
      this.#note(key);
    }
    clearTimeout(this.#keeping);
    this.#keeping = setTimeout(
      () => {
        for (const key of this.#kept.keys()) this.delete(key);
        this.flush();
      },
      Math.max(0, keepMs),
    );
  }

  #tellKept(): void {
    const keys = this.#kept.keys();
    const state = keys.length === 0 ? undefined : { keys, until: this.#until, why: this.#why };
    const text = JSON.stringify(state) ?? '';
    if (text !== this.#keptTold) this.#observer.kept?.(state);
    this.#keptTold = text;
  }

  #note(key: string): void {
    this.#changed.add(key);
    // Nothing is reported before the first whole list: a part would look like a cluster of few nodes.
    if (!this.#isTold) return;
    const restMs = this.#toldAt + (this.#options.gatherMs ?? GATHER_MS) - performance.now();
    this.#timer ??= setTimeout(() => this.flush(), Math.max(0, restMs));
  }
}

/** Kept leases, found by what a new lease may contradict. */
class KeptIndex {
  readonly #leases = new Map<string, Lease>();
  readonly #byClaim = new Map<string, Set<string>>();

  has(key: string): boolean {
    return this.#leases.has(key);
  }

  keys(): string[] {
    return [...this.#leases.keys()];
  }

  add(lease: Lease): void {
    this.#leases.set(lease.key, lease);
    for (const claim of claimsOf(lease)) addTo(this.#byClaim, claim, lease.key);
  }

  delete(key: string): void {
    const lease = this.#leases.get(key);
    if (!lease) return;
    this.#leases.delete(key);
    for (const claim of claimsOf(lease)) deleteFrom(this.#byClaim, claim, key);
  }

  /** Keys of kept leases that have a subnet, the public address or the key of `lease`. */
  contradictedBy(lease: Lease): string[] {
    if (this.#leases.size === 0) return [];
    const keys = claimsOf(lease).flatMap(claim => [...(this.#byClaim.get(claim) ?? [])]);
    return [...new Set(this.#leases.has(lease.key) ? [...keys, lease.key] : keys)];
  }
}

function claimsOf({ v4, v6, attributes }: Lease): string[] {
  const subnets = [v4, v6].filter(cidr => cidr !== undefined).map(formatPrefix);
  return [...subnets, `address ${identityOf(attributes)}`];
}

/** True when two leases are the same for a peer; times do not count. */
function saysTheSame(a: Lease, b: Lease): boolean {
  return (
    a.node === b.node &&
    a.term === b.term &&
    sameSubnets(a, b) &&
    (a.attributes === b.attributes || formatAttributes(a.attributes) === formatAttributes(b.attributes))
  );
}
