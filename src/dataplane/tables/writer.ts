import { RipstopError } from '../../base/errors.ts';
import type { Peer, PeerChanges } from '../descriptor/peer.ts';
import type { TableCapacity } from './capacity.ts';
import { Half } from './half.ts';
import { type PeerDefaults, type PeerEntries, peerEntries } from './peer-entries.ts';
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
import { checkRoom, type TableNeeds, UniqueIndex } from './validate.ts';

/** The one writer of the tables of a forwarder. Cold; for the control thread. */
export class TablesWriter {
  readonly slots: PeerSlots;
  /** Called before peers change. */
  onChange: () => void = () => {};
  /** Called when a slot is free for another peer. */
  onSlotFreed: (slot: number) => void = () => {};
  /** Called when readers see a new generation. */
  onPublish: () => void = () => {};
  readonly #defaults: PeerDefaults;
  readonly #resetSlot: (slot: number) => void;
  #tables: Tables;
  /** Even and odd generations. */
  #halves: readonly [Half, Half];
  readonly #index = new UniqueIndex();
  readonly #wanted = new Map<string, PeerEntries>();
  /** Peers for which the tables have no room, with the error. */
  readonly #refused = new Map<string, { peer: Peer; error: RipstopError }>();
  /** Ids that are no longer wanted and still have a slot. */
  readonly #left = new Set<string>();
  /** Readers do not see all of `#wanted` yet. */
  #waits = false;
  /** Some readers still use the memory before the last `grow`. */
  #isMoving = false;

  /** @param resetSlot resets the counts of a slot: its peer is gone, no reader uses it, and the next peer may get it */
  constructor(
    capacity: TableCapacity,
    defaults: PeerDefaults,
    resetSlot: (slot: number) => void = () => undefined,
  ) {
    this.#tables = openTables(createTables(capacity));
    this.#halves = [new Half(this.#tables.even), new Half(this.#tables.odd)];
    this.slots = new PeerSlots(capacity.peers);
    this.#defaults = defaults;
    this.#resetSlot = resetSlot;
  }

  get tables(): Tables {
    return this.#tables;
  }

  /** Memory to hand to the readers. */
  get memory(): SharedArrayBuffer {
    return this.#tables.memory;
  }

  /** Number of the state that readers see; it increases with each change. */
  get generation(): number {
    return generationOf(this.#tables);
  }

  /** The peers that readers see. Makes a list of all of them. */
  get peers(): readonly Peer[] {
    const [even, odd] = this.#halves;
    return ((generationOf(this.#tables) & 1) === 0 ? even : odd).peers;
  }

  /** The peer in a slot. */
  peerIn(slot: number): Peer | undefined {
    const id = this.slots.idOf(slot);
    return id === undefined ? undefined : this.peer(id);
  }

  /** The newest version of a peer, whether readers see it already or not. */
  peer(id: string): Peer | undefined {
    return this.#wanted.get(id)?.peer;
  }

  /** Peers for which the tables have no room, with the error. Each is tried again with every change. */
  get refused(): ReadonlyMap<string, { readonly error: RipstopError }> {
    return this.#refused;
  }

  /** The half that readers see, for cold look-ups on the writer's thread. */
  get view(): TableView {
    return currentView(this.#tables);
  }

  /** Entries that the peers take. */
  get needs(): TableNeeds {
    return this.#index.needs;
  }

  /** True when no reader uses the half that would be written. */
  canPublish(): boolean {
    return !this.#isMoving && laggingReaders(this.#tables).length === 0;
  }

  /**
   * Changes some peers. A peer for which there is no room is left out and listed in `refused`. The cost depends on the number
   * of named peers only.
   * @returns true when readers see the new state from now on; false when a reader still uses the other half: then `flush`
   * publishes the newest state. A batch lasts well under a millisecond, so a call a little later succeeds.
   * @throws Error (a bug), RipstopError ECONFIG for the first invalid peer; all others have been changed then
   */
  change({ set, removed }: PeerChanges): boolean {
    this.onChange();
    for (const id of removed) this.#drop(id);
    const changed = set.filter(peer => this.peer(peer.id) !== peer);
    for (const { id } of changed) this.#drop(id);
    const again = [...this.#refused.values()];
    for (const { peer } of again) if (!this.#take(peer)) break; // no room for one: none for the rest
    const faults: unknown[] = [];
    for (const peer of changed)
      try {
        this.#take(peer);
      } catch (error) {
        faults.push(error);
      }
    const isPublished = this.flush();
    if (faults.length > 0) throw faults[0];
    return isPublished;
  }

  #drop(id: string): void {
    this.#refused.delete(id);
    const entries = this.#wanted.get(id);
    if (!entries) return;
    this.#wanted.delete(id);
    this.#index.remove(entries.peer);
    this.#note(id);
  }

  /** @returns false when there is no room */
  #take(peer: Peer): boolean {
    const { id } = peer;
    const entries = peerEntries(peer, this.#defaults);
    this.#index.add(peer);
    try {
      checkRoom(this.#index.needs, this.#tables.capacity);
    } catch (error) {
      this.#index.remove(peer);
      if (!(error instanceof RipstopError)) throw error;
      this.#refused.set(id, { peer, error });
      return false;
    }
    this.#wanted.set(id, entries);
    this.#refused.delete(id);
    this.#note(id);
    return true;
  }

  #note(id: string): void {
    for (const half of this.#halves) half.note(id);
    if (this.#wanted.has(id)) this.#left.delete(id);
    else this.#left.add(id);
    this.#waits = true;
  }

  /** Publishes pending changes unless a reader still uses the other half. @returns true when none is pending */
  flush(): boolean {
    if (!this.#waits) return true;
    if (!this.canPublish()) return false;
    // All readers are in the current generation or idle, so none counts for a peer that vanished before it.
    for (const slot of this.slots.recycle()) {
      this.#resetSlot(slot);
      this.onSlotFreed(slot);
    }
    this.#show();
    return !this.#waits;
  }

  #show(): void {
    const [even, odd] = this.#halves;
    const half = (generationOf(this.#tables) & 1) === 0 ? odd : even;
    for (const id of this.#left) this.slots.release(id);
    this.#left.clear();
    // When all slots are taken, new peers wait: the slots of removed peers become free one generation later.
    half.update(this.#wanted, id => this.slots.take(id));
    publishGeneration(this.#tables);
    this.#waits = half.isBehind;
    this.onPublish();
  }

  /** The thread of a reader has ended. */
  removeReader(reader: number): void {
    removeReader(this.#tables, reader);
  }

  /**
   * Continues in new, larger memory, with the same peers in the same slots. Pass `memory` to every reader, and call `moved`
   * when all of them use it: until then nothing is published, because the new memory does not show readers of the old.
   * @throws ECONFIG when `capacity` has fewer peer slots
   */
  grow(capacity: TableCapacity): void {
    this.slots.grow(capacity.peers);
    this.#tables = openTables(createTables(capacity, this.generation));
    this.#halves = [new Half(this.#tables.even), new Half(this.#tables.odd)];
    for (const half of this.#halves) for (const id of this.#wanted.keys()) half.note(id);
    this.#show();
    this.#isMoving = true;
  }

  /** All readers use the memory of the last `grow`. */
  moved(): void {
    this.#isMoving = false;
  }
}
