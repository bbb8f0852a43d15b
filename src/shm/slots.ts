import { overflow } from './capacity.ts';

/**
 * Which peer has which slot. A slot belongs to an id as long as the peer lives, since counters are indexed by it,
 * and passes through three states: owned; retired (the peer is gone, a reader may still count for it); free. Heap
 * memory of the writer, seen by nobody else.
 */
export class PeerSlots {
  readonly capacity: number;
  readonly #byId = new Map<string, number>();
  #retired: number[] = [];
  readonly #free: number[] = [];
  #next = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Slot of a peer, undefined when it has none. */
  of(id: string): number | undefined {
    return this.#byId.get(id);
  }

  /** Ids and their slots. */
  entries(): IterableIterator<[string, number]> {
    return this.#byId.entries();
  }

  /** True when those of `ids` that have no slot could get one now. */
  fits(ids: readonly string[]): boolean {
    const fresh = ids.filter(id => !this.#byId.has(id)).length;
    return fresh <= this.#free.length + this.capacity - this.#next;
  }

  /** Gives a slot to each of `ids`, retires the slots of all others. Throws ECAPACITY when they do not fit. */
  assign(ids: readonly string[]): void {
    if (!this.fits(ids)) throw overflow('peers', this.capacity, ids.length);
    const wanted = new Set(ids);
    for (const [id, slot] of this.#byId) {
      if (wanted.has(id)) continue;
      this.#byId.delete(id);
      this.#retired.push(slot);
    }
    for (const id of wanted) if (!this.#byId.has(id)) this.#byId.set(id, this.#free.pop() ?? this.#next++);
  }

  /** Frees all retired slots. @returns them: whoever counts by slot resets them before the next `assign` */
  recycle(): number[] {
    const slots = this.#retired;
    this.#retired = [];
    this.#free.push(...slots);
    return slots;
  }

  /** The same assignment with more room. */
  grown(capacity: number): PeerSlots {
    const bigger = new PeerSlots(capacity);
    for (const [id, slot] of this.#byId) bigger.#byId.set(id, slot);
    bigger.#retired = [...this.#retired];
    bigger.#free.push(...this.#free);
    bigger.#next = this.#next;
    return bigger;
  }
}
