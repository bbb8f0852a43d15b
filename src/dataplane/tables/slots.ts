import { RipstopError } from '../../base/errors.ts';

/**
 * Which peer has which slot. A slot belongs to an id as long as the peer is wanted, since counters are indexed by it,
 * and passes through three states: owned; retired (the peer is gone, a reader may still count for it); free. Only the
 * writer uses this memory.
 */
export class PeerSlots {
  #capacity: number;
  readonly #byId = new Map<string, number>();
  readonly #ids: (string | undefined)[] = [];
  #retired: number[] = [];
  readonly #free: number[] = [];
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** Slot of a peer, undefined when it has none. */
  of(id: string): number | undefined {
    return this.#byId.get(id);
  }

  /** The peer that has a slot, undefined when no peer has it. */
  idOf(slot: number): string | undefined {
    return this.#ids[slot];
  }

  /** Ids and their slots. */
  entries(): IterableIterator<[string, number]> {
    return this.#byId.entries();
  }

  /** The slot of a peer, a free one when it has none; undefined when none is free. */
  take(id: string): number | undefined {
    const own = this.#byId.get(id);
    if (own !== undefined) return own;
    const slot = this.#free.pop() ?? (this.#next < this.#capacity ? this.#next++ : undefined);
    if (slot === undefined) return undefined;
    this.#byId.set(id, slot);
    this.#ids[slot] = id;
    return slot;
  }

  /** Retires the slot of a peer, if it has one. */
  release(id: string): void {
    const slot = this.#byId.get(id);
    if (slot === undefined) return;
    this.#byId.delete(id);
    this.#ids[slot] = undefined;
    this.#retired.push(slot);
  }

  /** Frees all retired slots. @returns them; counters by slot must be reset before the next `take` */
  recycle(): number[] {
    const slots = this.#retired;
    this.#retired = [];
    this.#free.push(...slots);
    return slots;
  }

  /** Raises the capacity. @throws RipstopError ECONFIG for a smaller one */
  grow(capacity: number): void {
    if (capacity < this.#capacity)
      throw new RipstopError(
        'ECONFIG',
        `capacity.peers: ${capacity} is less than the ${this.#capacity} so far`,
      );
    this.#capacity = capacity;
  }
}
