import { isSamePeer, type Peer, type PeerChanges } from '../../dataplane/descriptor/peer.ts';
import { formatAddress } from '../../ip/address.ts';
import { formatPrefix, type Prefix } from '../../ip/prefix.ts';
import { claimsOf, isSameClaim, type LeaseClaims, type OwnSide } from '../lease/claims.ts';
import { type Conflict, type Holder, Holdings } from '../lease/holdings.ts';
import { type Lease, sameAttributes } from '../lease/lease.ts';
import type { RejectedLease } from '../lease/rejected-lease.ts';

/** One lease of another node. */
interface Entry extends Holder {
  lease: Lease;
  /** What the lease claims; undefined where it cannot be a peer at all. */
  claims: LeaseClaims | undefined;
  /** The peer that this one contradicts. */
  blocker: Entry | undefined;
  /** Entries that contradict this one. */
  readonly waiting: Set<Entry>;
  /** How often the entry became a peer. */
  stay: number;
  /** The peer, in that stay, that displaced this one while its node was not alive. */
  displacedBy: { readonly peer: Entry; readonly stay: number } | undefined;
  /** The holder was alive under these attributes. */
  wasAlive: boolean;
}

/**
 * Chooses the peers of one overlay among the leases. It keeps state, so that the cost depends on what changed. Rules
 * (docs/decisions/0096): this node's own range, addresses and MAC take precedence. Of two leases that contradict each
 * other, an existing peer stays as long as its claims are the same; of two new leases the older becomes a peer. A
 * lease that the store lost and that is kept yields to any other. A range around others gets what longest prefix match
 * leaves to it.
 */
export class PeerSelector {
  readonly #side: OwnSide;
  readonly #entries = new Map<string, Entry>();
  readonly #holdings: Holdings<Entry>;
  readonly #peers = new Map<string, Peer>();
  readonly #rejected = new Map<string, RejectedLease>();
  /** Id of the peer at each underlay address. */
  readonly #ids = new Map<string, string>();
  #refusedBefore: ReadonlySet<string>;
  #touched = new Set<string>();
  #retry = new Set<Entry>();
  #turns = 0;

  /** @param refused keys of leases that an earlier selection refused: the first update considers them last */
  constructor(side: OwnSide, refused: ReadonlySet<string> = new Set()) {
    this.#side = side;
    this.#holdings = new Holdings(side.own);
    this.#refusedBefore = refused;
  }

  /** By id. */
  get peers(): ReadonlyMap<string, Peer> {
    return this.#peers;
  }

  /** By lease key. */
  get rejected(): ReadonlyMap<string, RejectedLease> {
    return this.#rejected;
  }

  /**
   * Applies changes of leases.
   * @param leases all leases by key, as they are now
   * @param changed keys of leases that are new, changed or gone (absent from `leases`); undefined: all keys
   */
  update(leases: ReadonlyMap<string, Lease>, changed?: Iterable<string>): PeerChanges {
    const peers: [Entry, Lease][] = [];
    for (const key of new Set(changed ?? [...this.#entries.keys(), ...leases.keys()])) {
      const lease = leases.get(key);
      const entry = this.#entries.get(key);
      if (!lease || key === this.#side.own.key) {
        if (entry) this.#drop(entry);
      } else if (entry?.held) peers.push([entry, lease]);
      else this.#ask(entry ?? this.#enter(lease), lease);
    }
    for (const [entry, lease] of peers) this.#change(entry, lease);
    while (this.#retry.size > 0) {
      const batch = [...this.#retry].sort((a, b) => this.#order(a, b));
      this.#retry.clear();
      for (const entry of batch) this.#settle(entry, undefined);
    }
    if (this.#entries.size > 0) this.#refusedBefore = new Set();
    return this.#flush();
  }

  #enter(lease: Lease): Entry {
    const entry: Entry = {
      key: lease.key,
      lease,
      claims: undefined,
      held: undefined,
      turn: 0,
      stay: 0,
      blocker: undefined,
      waiting: new Set(),
      displacedBy: undefined,
      wasAlive: false,
    };
    this.#entries.set(lease.key, entry);
    return entry;
  }

  /** A lease is gone. */
  #drop(entry: Entry): void {
    this.#vacate(entry);
    this.#unblock(entry);
    this.#entries.delete(entry.key);
    this.#rejected.delete(entry.key);
    this.#retry.delete(entry);
  }

  /** A lease that is not a peer is new, or changed: it is tried with the others. */
  #ask(entry: Entry, lease: Lease): void {
    const before = entry.claims;
    this.#read(entry, lease);
    // What it was displaced by depends on its former claims.
    if (!before || !entry.claims || !isSameClaim(before, entry.claims)) entry.displacedBy = undefined;
    this.#unblock(entry);
    if (entry.claims) this.#retry.add(entry);
  }

  /** The lease of a peer changed. It keeps what it still claims; only additional claims can conflict. */
  #change(entry: Entry, lease: Lease): void {
    // Another lease that changed in the same update may have displaced it.
    if (!entry.held) {
      this.#ask(entry, lease);
      return;
    }
    const before = entry.held;
    this.#read(entry, lease);
    const { claims } = entry;
    if (claims && isSameClaim(before, claims)) {
      entry.held = claims;
      this.#touched.add(claims.address);
      if (isGone(entry) || lease.isKept) for (const other of entry.waiting) this.#retry.add(other);
      return;
    }
    this.#vacate(entry);
    if (claims) this.#settle(entry, before);
  }

  #read(entry: Entry, lease: Lease): void {
    // Other attributes may be those of flanneld, whose nodes have no liveness.
    const isSame = sameAttributes(lease.attributes, entry.lease.attributes);
    entry.wasAlive = lease.node !== undefined || (entry.wasAlive && isSame);
    entry.lease = lease;
    const result = claimsOf(lease, this.#side);
    entry.claims = result && 'reason' in result ? undefined : result;
    this.#rejected.delete(entry.key);
    if (result && 'reason' in result) this.#rejected.set(entry.key, result);
  }

  /**
   * Turns an entry into a peer, or notes what it conflicts with.
   * @param before what it held until now
   */
  #settle(entry: Entry, before: LeaseClaims | undefined): void {
    const { claims } = entry;
    if (entry.held || !claims || this.#entries.get(entry.key) !== entry) return;
    this.#unblock(entry);
    const displaced = new Map<Entry, string>();
    for (const conflict of this.#holdings.conflicts(claims, before)) {
      const { with: other } = conflict;
      if (!losesTieBreak(conflict, entry)) {
        this.#refuse(entry, conflict);
        return;
      }
      displaced.set(other, `claims what lease ${entry.key} claims, ${whyDisplaced(other, entry)}`);
    }
    // Another lease of the same node with the node's former MAC.
    if (before?.address === claims.address)
      for (const mate of this.#holdings.at(claims.address))
        if (mate.held!.mac !== claims.mac)
          displaced.set(mate, `has the former VTEP MAC of the node of lease ${entry.key}`);
    for (const [other, message] of displaced) this.#displace(other, entry, message, isGone(other));
    this.#rejected.delete(entry.key);
    entry.displacedBy = undefined;
    if (before?.address !== claims.address) entry.turn = ++this.#turns;
    this.#occupy(entry, claims);
  }

  #refuse(entry: Entry, { with: blocker, reason, message }: Conflict<Entry>): void {
    entry.blocker = blocker;
    blocker.waiting.add(entry);
    this.#rejected.set(entry.key, { key: entry.key, reason, message });
  }

  /** @param returns it is a peer again once its node is alive again */
  #displace(other: Entry, by: Entry, message: string, returns: boolean): void {
    this.#vacate(other);
    // The stay that begins now.
    other.displacedBy = returns && !isDisplacedBy(by, other) ? { peer: by, stay: by.stay + 1 } : undefined;
    this.#refuse(other, { with: by, reason: 'duplicate', message });
  }

  #unblock(entry: Entry): void {
    entry.blocker?.waiting.delete(entry);
    entry.blocker = undefined;
  }

  #occupy(entry: Entry, claims: LeaseClaims): void {
    for (const subnet of claims.subnets) this.#touchAround(subnet);
    this.#holdings.add(entry, claims);
    entry.stay++;
    this.#touched.add(claims.address);
  }

  /** Releases what an entry holds; the entries that it blocked are tried again. */
  #vacate(entry: Entry): void {
    const { held } = entry;
    for (const other of entry.waiting) this.#retry.add(other);
    if (!held) return;
    this.#holdings.delete(entry);
    for (const subnet of held.subnets) this.#touchAround(subnet);
    this.#touched.add(held.address);
  }

  /** Longest prefix match leaves another part of their range to peers around this one. */
  #touchAround(subnet: Prefix): void {
    for (const owner of this.#holdings.around(subnet)) this.#touched.add(owner.held!.address);
  }

  /** The order in which leases become peers: the older first. */
  #order(a: Entry, b: Entry): number {
    return (
      Number(this.#refusedBefore.has(a.key)) - Number(this.#refusedBefore.has(b.key)) ||
      compareAge(a.lease.since, b.lease.since) ||
      (a.key < b.key ? -1 : 1)
    );
  }

  #flush(): PeerChanges {
    const former = new Map<string, Peer | undefined>();
    const now: Peer[] = [];
    for (const address of this.#touched) {
      const id = this.#ids.get(address);
      if (id !== undefined) former.set(id, this.#peers.get(id));
      this.#ids.delete(address);
      const peer = this.#peerAt(address);
      if (!peer) continue;
      now.push(peer);
      this.#ids.set(address, peer.id);
    }
    this.#touched = new Set();
    const ids = new Set(now.map(peer => peer.id));
    const removed = [...former.keys()].filter(id => !ids.has(id));
    for (const id of removed) this.#peers.delete(id);
    const set = now.filter(peer => {
      const before = former.get(peer.id);
      return before === undefined || !isSamePeer(peer, before);
    });
    for (const peer of set) this.#peers.set(peer.id, peer);
    return { set, removed };
  }

  /** The peer that the leases of one node give, in the order in which they came. */
  #peerAt(address: string): Peer | undefined {
    const mates = this.#holdings.at(address);
    const held = mates.map(mate => mate.held).filter(claims => claims !== undefined);
    const [first] = mates;
    const [own] = held;
    if (!first || !own) return undefined;
    const subnets = held
      .flatMap(claims => claims.subnets)
      .flatMap(each => this.#holdings.left(each, address));
    return {
      id: first.key,
      node: first.lease.node,
      address,
      mac: own.mac,
      remoteChecksum: held.every(claims => claims.remoteChecksum),
      provesOffloads: held.every(claims => claims.provesOffloads),
      ...(held.some(claims => claims.ignoresEcn) ? { ignoresEcn: true } : {}),
      direct: own.direct,
      subnets: unique(subnets, formatPrefix),
      hosts: unique(
        held.flatMap(claims => claims.hosts),
        formatAddress,
      ),
    };
  }
}

function unique<T>(list: readonly T[], textOf: (each: T) => string): T[] {
  return [...new Map(list.map(each => [textOf(each), each])).values()];
}

export interface PeerSelection {
  readonly peers: readonly Peer[];
  readonly rejected: readonly RejectedLease[];
}

/** The peers of one overlay when all leases are new. */
export function selectPeers(side: OwnSide, all: readonly Lease[]): PeerSelection {
  const selector = new PeerSelector(side);
  const leases = new Map(all.map(lease => [lease.key, lease]));
  selector.update(leases);
  return { peers: [...selector.peers.values()], rejected: [...selector.rejected.values()] };
}

/** True when `entry` displaces a peer. */
function losesTieBreak({ with: peer, reason }: Conflict<Entry>, entry: Entry): boolean {
  if (peer.lease.isKept) return !entry.lease.isKept;
  // The entry was displaced by this peer only because its node was not alive.
  if (isDisplacedBy(entry, peer) && !isGone(entry)) return true;
  // An address or a MAC may pass to another node; a range belongs to its holder until the lease ends.
  return reason === 'duplicate' && isGone(peer) && entry.lease.node !== undefined;
}

function whyDisplaced(peer: Entry, entry: Entry): string {
  if (peer.lease.isKept) return 'which the store has';
  if (isDisplacedBy(entry, peer)) return 'whose node is alive again';
  return 'and its own node is not alive';
}

function isDisplacedBy({ displacedBy }: Entry, peer: Entry): boolean {
  return displacedBy?.peer === peer && displacedBy.stay === peer.stay;
}

/** True when the store reports that the holder is gone. For leases of flannel in etcd it cannot. */
function isGone({ lease, wasAlive, claims }: Entry): boolean {
  return lease.node === undefined && (lease.isGone === true || wasAlive || claims?.isOurs === true);
}

/** Leases without an age come last. */
function compareAge(a: number | undefined, b: number | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  return b === undefined ? -1 : a - b;
}
