import { RipstopError } from '../base/errors.ts';
import { type AddressEntry, buildAddresses } from './addresses.ts';
import type { TableCapacity } from './capacity.ts';
import { type Claims, claimsOf, type PeerInput } from './claims.ts';
import { buildFdb, type FdbEntry } from './fdb.ts';
import { buildLpm4, buildLpm6, type PrefixEntry } from './lpm.ts';
import { buildNeighbours, type NeighbourEntry } from './neighbours.ts';
import { checkTogether } from './ownership.ts';
import { PEER_STRIDE } from './peers.ts';
import { PeerSlots } from './slots.ts';
import {
  advance,
  createTables,
  currentView,
  forgetReader,
  nextView,
  openTables,
  staleReaders,
  type Tables,
  type TableView,
} from './tables.ts';

export type { PeerInput } from './claims.ts';

export interface TablesWriterOptions {
  /** Lets a prefix of one peer lie within a shorter one of another; the longest wins. */
  readonly allowNested?: boolean;
  /** Resets what is counted for a slot: its peer is gone, no reader touches it, the next peer may get it. */
  readonly resetSlot?: (slot: number) => void;
}

/** The one writer of the tables of a forwarder. Cold; lives on the control thread. */
export class TablesWriter {
  readonly tables: Tables;
  readonly slots: PeerSlots;
  readonly #options: TablesWriterOptions;
  #published: readonly PeerInput[] = [];
  #pending: readonly PeerInput[] | undefined;

  constructor(
    capacity: TableCapacity,
    options: TablesWriterOptions = {},
    slots = new PeerSlots(capacity.peers),
  ) {
    this.tables = openTables(createTables(capacity));
    this.slots = slots;
    this.#options = options;
  }

  /** Memory to hand to the readers. */
  get memory(): SharedArrayBuffer {
    return this.tables.memory;
  }

  /** The peers that readers see. */
  get peers(): readonly PeerInput[] {
    return this.#published;
  }

  /** The half that readers see, for cold look-ups on the writer's thread. */
  get view(): TableView {
    return currentView(this.tables);
  }

  /** True when no reader uses the half that would be written. */
  canPublish(): boolean {
    return staleReaders(this.tables).length === 0;
  }

  /**
   * Makes `peers` the whole set of peers.
   * @returns true when readers see them from now on; false when a reader has not moved on yet: the newest list
   * waits, and `flush` publishes it. A batch lasts well under a millisecond, so a call a little later succeeds.
   * @throws ECONFIG, EOVERLAP (names both peers) or ECAPACITY (names the key); nothing has changed then
   */
  publish(peers: readonly PeerInput[]): boolean {
    checkTogether(peers.map(claimsOf), this.tables.capacity, this.#options.allowNested ?? false);
    this.#pending = [...peers];
    return this.flush();
  }

  /** Publishes the list that waits, if there is one and readers have moved on. @returns true when none waits */
  flush(): boolean {
    if (this.#pending === undefined) return true;
    if (!this.canPublish()) return false;
    // All readers are in the current generation or idle, so none counts for a peer that vanished before it.
    for (const slot of this.slots.recycle()) this.#options.resetSlot?.(slot);
    const peers = this.#pending;
    if (!this.slots.fits(peers.map(peer => peer.id))) {
      // The vanished must give up their slots first, one generation ahead of those who take them over.
      this.#show(peers.filter(peer => this.slots.of(peer.id) !== undefined));
      return false;
    }
    this.#pending = undefined;
    this.#show(peers);
    return true;
  }

  #show(peers: readonly PeerInput[]): void {
    this.slots.assign(peers.map(peer => peer.id));
    fill(nextView(this.tables), peers.map(claimsOf), this.slots);
    advance(this.tables);
    this.#published = peers;
  }

  /** The thread of a reader has ended: it holds nothing up from now on. */
  forgetReader(reader: number): void {
    forgetReader(this.tables, reader);
  }

  /**
   * The same peers in the same slots in new, larger memory. Drop this writer, hand the memory to every reader, and
   * publish again only when all have taken it: the new writer knows nothing of readers that linger in the old memory.
   * @throws ECONFIG when `capacity` has fewer peer slots
   */
  grown(capacity: TableCapacity): TablesWriter {
    if (capacity.peers < this.slots.capacity)
      throw new RipstopError(
        'ECONFIG',
        `capacity.peers: ${capacity.peers} is less than the ${this.slots.capacity} so far`,
      );
    const bigger = new TablesWriter(capacity, this.#options, this.slots.grown(capacity.peers));
    bigger.publish(this.#pending ?? this.#published);
    return bigger;
  }
}

/** Makes `peers` the whole content of a half. */
function fill(view: TableView, peers: readonly Claims[], slots: PeerSlots): void {
  const macs: FdbEntry[] = [];
  const prefixes4: PrefixEntry[] = [];
  const prefixes6: PrefixEntry[] = [];
  const sources: AddressEntry[] = [];
  const neighbours: NeighbourEntry[] = [];
  view.peers.fill(0);
  for (const claims of peers) {
    const peer = slots.of(claims.id)!;
    view.peers.set(claims.record, peer * PEER_STRIDE);
    sources.push({ words: claims.source.what, tag: 0, peer });
    for (const { what } of claims.macs) macs.push({ hi: what.hi, lo: what.lo, peer });
    for (const { what } of claims.subnets) {
      const prefixes = what.family === 4 ? prefixes4 : prefixes6;
      prefixes.push({ words: what.words, length: what.length, peer });
    }
    for (const { what } of claims.vteps) neighbours.push({ family: what.family, words: what.words, peer });
  }
  buildFdb(view.fdb, macs);
  buildLpm4(view.prefixes4, prefixes4);
  buildLpm6(view.prefixes6, prefixes6);
  buildAddresses(view.sources, 0, sources);
  buildNeighbours(view.neighbours, neighbours);
}
