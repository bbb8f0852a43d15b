import type { RipstopError } from '../base/errors.ts';
import { type Family, requireAddress } from '../ip/address.ts';
import type { Peer, PeerChanges } from './descriptor/peer.ts';
import type { PathMtus } from './slow-path/path-mtu.ts';
import { PEERS_MAX, type TableCapacity } from './tables/capacity.ts';
import type { TableNeeds } from './tables/validate.ts';
import type { TablesWriter } from './tables/writer.ts';

/** Most entries of one kind: the memory of the tables stays below what an int32 can address. */
const ENTRIES_MAX = 1 << 22;

interface PeerSetOptions {
  /** Own underlay address: the peers' have its family. */
  readonly address: string;
  readonly underlayMtu: number;
  readonly mostPeers?: number | undefined;
}

/**
 * The peers of a data plane as last set, and the path MTUs to them. For the control thread. The cost of a change depends on
 * the number of changed peers only.
 */
export class PeerSet {
  readonly #family: Family;
  readonly #underlayMtu: number;
  readonly #most: number;
  readonly #writer: TablesWriter;
  readonly #paths: PathMtus;
  readonly #grow: (capacity: TableCapacity) => void;
  readonly #peers = new Map<string, Peer>();
  /** Peers whose path is tracked as soon as they have a slot; true when their address changed. */
  readonly #untracked = new Map<string, boolean>();
  /** Ids of the peers to which no message holds several datagrams. */
  readonly #unsegmented = new Set<string>();

  /** @param grow makes the tables larger */
  constructor(
    { address, underlayMtu, mostPeers = PEERS_MAX }: PeerSetOptions,
    writer: TablesWriter,
    paths: PathMtus,
    grow: (capacity: TableCapacity) => void,
  ) {
    this.#family = requireAddress(address).family;
    this.#underlayMtu = underlayMtu;
    this.#most = Math.min(PEERS_MAX, mostPeers);
    this.#writer = writer;
    this.#paths = paths;
    this.#grow = grow;
  }

  /** The peers as last set. */
  get peers(): readonly Peer[] {
    return [...this.#peers.values()];
  }

  /** The peers as last set, with the path MTUs that were learnt and the offloads that were found broken. */
  get withPaths(): readonly Peer[] {
    return this.peers.map(peer => this.#withPath(peer));
  }

  /** Peers for which the tables have no room, with the error. */
  get refused(): ReadonlyMap<string, RipstopError> {
    return new Map(Array.from(this.#writer.refused, ([id, { error }]) => [id, error]));
  }

  /** Makes `peers` the whole set. @returns as `change` */
  replace(peers: readonly Peer[]): boolean {
    const ids = new Set(peers.map(({ id }) => id));
    return this.change({ set: peers, removed: [...this.#peers.keys()].filter(id => !ids.has(id)) });
  }

  /** Changes some peers. @returns false when a reader delays the publication */
  change({ set, removed }: PeerChanges): boolean {
    for (const id of removed) {
      this.#untracked.delete(id);
      this.#unsegmented.delete(id);
      this.#peers.delete(id);
    }
    const paths = set.map(peer => this.#withPath(peer));
    for (const peer of set) {
      const former = this.#peers.get(peer.id);
      // What was learnt of the path belongs to the former address.
      const moved = former !== undefined && former.address !== peer.address;
      if (!former || moved) this.#untracked.set(peer.id, moved);
      if (moved) this.#unsegmented.delete(peer.id);
      this.#peers.set(peer.id, peer);
    }
    let published = this.#writer.change({ set: paths, removed });
    while (this.#writer.refused.size > 0 && this.#makeRoom())
      published = this.#writer.change({ set: [], removed: [] });
    return published;
  }

  /** Lets several datagrams to a peer share a message, or not, until its address changes. @returns as `change` */
  setSegmentation(id: string, isOn: boolean): boolean {
    if (isOn) this.#unsegmented.delete(id);
    else this.#unsegmented.add(id);
    return this.renew([id]);
  }

  /** Publishes peers again after a change of their path MTU. @returns as `change` */
  renew(ids: readonly string[]): boolean {
    const set = ids.map(id => this.#peers.get(id)).filter(peer => peer !== undefined);
    return this.change({ set, removed: [] });
  }

  /** Starts to track the paths of new peers; call it when a change has been published. */
  trackPaths(): void {
    for (const [id, moved] of this.#untracked) {
      const slot = this.#writer.slots.of(id);
      if (slot === undefined) continue;
      this.#untracked.delete(id);
      if (moved || this.#paths.get(slot) === undefined)
        this.#paths.set(slot, this.#family, this.#underlayMtu, moved);
    }
  }

  /** The peer with what was learnt of its path. */
  #withPath(peer: Peer): Peer {
    if (this.#peers.get(peer.id)?.address !== peer.address) return peer;
    const slot = this.#writer.slots.of(peer.id);
    const pathMtu = slot === undefined ? undefined : this.#paths.get(slot);
    const isLower = pathMtu !== undefined && pathMtu < this.#underlayMtu;
    const unsegmented = this.#unsegmented.has(peer.id);
    // The writer tells by the object whether a peer changed.
    if (!isLower && !unsegmented) return peer;
    return { ...peer, ...(isLower ? { pathMtu } : {}), ...(unsegmented ? { unsegmented } : {}) };
  }

  /** Doubles the tables, or more where that is not enough. @returns false at the largest size */
  #makeRoom(): boolean {
    const { capacity } = this.#writer.tables;
    const { peers, macs, prefixes } = this.#writer.needs;
    const waiting = this.#writer.refused.size;
    if (capacity.peers >= this.#most && peers >= capacity.peers) return false;
    const room = { peers: peers + waiting, macs: macs + waiting, prefixes: prefixes + waiting };
    const isEnough = (next: TableCapacity): boolean =>
      next.peers > capacity.peers || next.macs > capacity.macs || next.prefixes > capacity.prefixes;
    const next = [this.#enlarged(room, 1), this.#enlarged(room, 2)].find(isEnough);
    if (next) this.#grow(next);
    return next !== undefined;
  }

  /** The present capacity times a power of two. @param least the factor to begin with */
  #enlarged(needs: TableNeeds, least: 1 | 2): TableCapacity {
    const { peers, macs, prefixes, readers } = this.#writer.tables.capacity;
    let factor: number = least;
    while (peers * factor < needs.peers || macs * factor < needs.macs || prefixes * factor < needs.prefixes)
      factor *= 2;
    return {
      peers: Math.max(peers, Math.min(peers * factor, this.#most)),
      macs: Math.min(macs * factor, ENTRIES_MAX),
      prefixes: Math.min(prefixes * factor, ENTRIES_MAX),
      readers,
    };
  }
}
