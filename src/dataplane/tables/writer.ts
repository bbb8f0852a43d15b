import { RipstopError } from '../../base/errors.ts';
import type { TableCapacity } from './capacity.ts';
import { Half } from './half.ts';
import { type PeerInput, peerEntries } from './peer-entries.ts';
import { PeerSlots } from './slots.ts';
import {
  createTables,
  currentView,
  generationOf,
  laggingReaders,
  openTables,
  publishGeneration,
  removeReader,
  type Tables,
  type TableView,
} from './tables.ts';
import { checkRoom, Ownership, type TableNeeds } from './validate.ts';

export type { PeerInput } from './peer-entries.ts';

export interface TablesWriterOptions {
  /** Lets a prefix of one peer lie within a shorter one of another; the longest wins. */
  readonly allowNested?: boolean;
  /** Resets what is counted for a slot: its peer is gone, no reader touches it, the next peer may get it. */
  readonly resetSlot?: (slot: number) => void;
}

/** Peers that came or changed, and ids of those that are gone. */
export interface PeerChange {
  readonly set: readonly PeerInput[];
  readonly removed: readonly string[];
}

/** The one writer of the tables of a forwarder. Cold; for the control thread. */
export class TablesWriter {
  readonly slots: PeerSlots;
  readonly #options: TablesWriterOptions;
  #tables: Tables;
  /** Even and odd generations. */
  #halves: readonly [Half, Half];
  #owners: Ownership;
  #wanted = new Map<string, PeerInput>();
  /** Peers that could not be taken, and why. */
  readonly #refused = new Map<string, { input: PeerInput; error: RipstopError }>();
  /** Ids that are no longer wanted and still have a slot. */
  readonly #left = new Set<string>();
  /** Readers do not see all of `#wanted` yet. */
  #waits = false;
  /** Some readers are still in the memory before this one. */
  #isMoving = false;

  constructor(capacity: TableCapacity, options: TablesWriterOptions = {}) {
    this.#tables = openTables(createTables(capacity));
    this.#halves = [new Half(this.#tables.even), new Half(this.#tables.odd)];
    this.slots = new PeerSlots(capacity.peers);
    this.#options = options;
    this.#owners = new Ownership(options.allowNested ?? false);
  }

  get tables(): Tables {
    return this.#tables;
  }

  /** Memory to hand to the readers. */
  get memory(): SharedArrayBuffer {
    return this.#tables.memory;
  }

  /** The peers that readers see. Makes a list of all of them. */
  get peers(): readonly PeerInput[] {
    return this.#halves[generationOf(this.#tables) & 1]!.peers;
  }

  /** A peer as it is wanted, whether readers see it already or not. */
  peer(id: string): PeerInput | undefined {
    return this.#wanted.get(id);
  }

  /** Peers that `change` could not take, and why; each is tried again with every change. */
  get refused(): ReadonlyMap<string, { readonly error: RipstopError }> {
    return this.#refused;
  }

  /** The half that readers see, for cold look-ups on the writer's thread. */
  get view(): TableView {
    return currentView(this.#tables);
  }

  /** Entries that the peers take. */
  get needs(): TableNeeds {
    return this.#owners.needs;
  }

  /** True when no reader uses the half that would be written. */
  canPublish(): boolean {
    return !this.#isMoving && laggingReaders(this.#tables).length === 0;
  }

  /**
   * Makes `peers` the whole set of peers.
   * @returns true when readers see them from now on; false when a reader has not moved on yet: the newest state
   * waits, and `flush` publishes it. A batch lasts well under a millisecond, so a call a little later succeeds.
   * @throws ECONFIG, EOVERLAP (names both peers) or ECAPACITY (names the key); nothing has changed then
   */
  publish(peers: readonly PeerInput[]): boolean {
    const owners = this.ownersOf(peers);
    checkRoom(owners.needs, this.#tables.capacity);
    const former = this.#wanted;
    this.#wanted = new Map(peers.map(peer => [peer.id, peer]));
    this.#owners = owners;
    this.#refused.clear();
    for (const id of former.keys()) if (!this.#wanted.has(id)) this.#note(id);
    for (const [id, peer] of this.#wanted) if (former.get(id) !== peer) this.#note(id);
    this.#waits = true;
    return this.flush();
  }

  /** Who would own what if `peers` were all peers. @throws RipstopError ECONFIG, EOVERLAP */
  ownersOf(peers: readonly PeerInput[]): Ownership {
    const owners = new Ownership(this.#options.allowNested ?? false);
    for (const peer of peers) owners.add(peerEntries(peer));
    return owners;
  }

  /**
   * Changes some peers, each for itself: one that cannot be taken is left out, stands in `refused` and is tried again
   * with the next change. The cost is that of the peers that are named.
   * @returns as `publish`
   */
  change({ set, removed }: PeerChange): boolean {
    for (const id of removed) this.#drop(id);
    for (const { id } of set) this.#drop(id);
    const again = [...this.#refused.values()];
    for (const { input } of again) if (!this.#take(input)) break; // one more that finds no room: nor will the rest
    for (const input of set) this.#take(input);
    return this.flush();
  }

  #drop(id: string): void {
    this.#refused.delete(id);
    if (!this.#wanted.delete(id)) return;
    this.#owners.remove(id);
    this.#note(id);
  }

  /** @returns false when there is no room */
  #take(input: PeerInput): boolean {
    const { id } = input;
    try {
      this.#owners.add(peerEntries(input));
      try {
        checkRoom(this.#owners.needs, this.#tables.capacity);
      } catch (error) {
        this.#owners.remove(id);
        throw error;
      }
      this.#wanted.set(id, input);
      this.#refused.delete(id);
      this.#note(id);
      return true;
    } catch (error) {
      if (!(error instanceof RipstopError)) throw error;
      this.#refused.set(id, { input, error });
      return error.code !== 'ECAPACITY';
    }
  }

  #note(id: string): void {
    for (const half of this.#halves) half.note(id);
    if (this.#wanted.has(id)) this.#left.delete(id);
    else this.#left.add(id);
    this.#waits = true;
  }

  /** Publishes what waits, if something does and readers have moved on. @returns true when nothing waits */
  flush(): boolean {
    if (!this.#waits) return true;
    if (!this.canPublish()) return false;
    // All readers are in the current generation or idle, so none counts for a peer that vanished before it.
    for (const slot of this.slots.recycle()) this.#options.resetSlot?.(slot);
    this.#show();
    return !this.#waits;
  }

  #show(): void {
    const half = this.#halves[(generationOf(this.#tables) + 1) & 1]!;
    for (const id of this.#left) this.slots.release(id);
    this.#left.clear();
    // Where all slots are taken, those that came wait for the ones that left: these give their slots up one generation
    // ahead of those who take them over.
    half.update(this.#wanted, id => this.slots.take(id));
    publishGeneration(this.#tables);
    this.#waits = half.isBehind;
  }

  /** The thread of a reader has ended: it holds nothing up from now on. */
  removeReader(reader: number): void {
    removeReader(this.#tables, reader);
  }

  /**
   * Goes on in new, larger memory, with the same peers in the same slots. Hand `memory` to every reader, and call `moved`
   * when all have taken it: until then nothing is published, since the new memory does not tell who lingers in the old.
   * @throws ECONFIG when `capacity` has fewer peer slots
   */
  grow(capacity: TableCapacity): void {
    this.slots.grow(capacity.peers);
    this.#tables = openTables(createTables(capacity));
    this.#halves = [new Half(this.#tables.even), new Half(this.#tables.odd)];
    for (const half of this.#halves) for (const id of this.#wanted.keys()) half.note(id);
    this.#show();
    this.#isMoving = true;
  }

  /** All readers have taken the memory of the last `grow`. */
  moved(): void {
    this.#isMoving = false;
  }
}
