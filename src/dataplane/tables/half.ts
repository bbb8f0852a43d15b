import { clearFdb, putMac, removeMac } from './fdb.ts';
import {
  clearLpm4,
  clearLpm6,
  putPrefix4,
  putPrefix6,
  removePrefix4,
  removePrefix6,
  setLengths4,
  setLengths6,
} from './lpm.ts';
import { clearNeighbours, putNeighbour, removeNeighbour } from './neighbour-table.ts';
import { type PeerEntries, type PeerInput, peerEntries } from './peer-entries.ts';
import { PEER_STRIDE } from './peer-table.ts';
import { clearAddresses, putAddress, removeAddress } from './source-table.ts';
import type { TableView } from './tables.ts';

/** A peer as it stands in a half. */
interface Shown {
  readonly input: PeerInput;
  readonly entries: PeerEntries;
  readonly slot: number;
}

/**
 * One half of the tables as the writer has it: what stands in it, and which peers it has yet to be told about. Each half
 * misses every second generation, so a change is noted in both and made in each when that one's turn comes: the cost is
 * that of the peers that changed, whatever their number is.
 */
export class Half {
  readonly #view: TableView;
  readonly #shown = new Map<string, Shown>();
  readonly #stale = new Set<string>();
  /** Prefixes by length. */
  readonly #lengths = { 4: new Int32Array(33), 6: new Int32Array(129) };

  /** Takes over a half of new memory. */
  constructor(view: TableView) {
    this.#view = view;
    clearFdb(view.fdb);
    clearLpm4(view.prefixes4);
    clearLpm6(view.prefixes6);
    clearAddresses(view.sources, 0);
    clearNeighbours(view.neighbours);
  }

  /** True while a peer waits for a slot. */
  get isBehind(): boolean {
    return this.#stale.size > 0;
  }

  get peers(): PeerInput[] {
    return Array.from(this.#shown.values(), ({ input }) => input);
  }

  /** The peer has changed, come or gone. */
  note(id: string): void {
    this.#stale.add(id);
  }

  /**
   * Makes the changes that were noted. Removals come first: what one peer had may be another's now.
   * @param wanted all peers
   * @param slotOf undefined: the peer has to wait for a slot, and stays noted
   */
  update(wanted: ReadonlyMap<string, PeerInput>, slotOf: (id: string) => number | undefined): void {
    for (const id of this.#stale) {
      const shown = this.#shown.get(id);
      if (shown) this.#remove(shown);
      this.#shown.delete(id);
    }
    const waiting: string[] = [];
    for (const id of this.#stale) {
      const input = wanted.get(id);
      if (!input) continue;
      const slot = slotOf(id);
      if (slot === undefined) {
        waiting.push(id);
        continue;
      }
      const shown = { input, entries: peerEntries(input), slot };
      this.#shown.set(id, shown);
      this.#put(shown);
    }
    this.#stale.clear();
    for (const id of waiting) this.#stale.add(id);
    setLengths4(this.#view.prefixes4, longestFirst(this.#lengths[4]));
    setLengths6(this.#view.prefixes6, longestFirst(this.#lengths[6]));
  }

  #put({ entries, slot: peer }: Shown): void {
    const view = this.#view;
    view.peers.set(entries.record, peer * PEER_STRIDE);
    putAddress(view.sources, 0, { words: entries.source.what, tag: 0, peer });
    for (const { what } of entries.macs) putMac(view.fdb, { hi: what.hi, lo: what.lo, peer });
    for (const { what } of entries.subnets) {
      const entry = { words: what.words, length: what.length, peer };
      if (what.family === 4) putPrefix4(view.prefixes4, entry);
      else putPrefix6(view.prefixes6, entry);
      this.#lengths[what.family][what.length]!++;
    }
    for (const { what } of entries.vteps)
      putNeighbour(view.neighbours, { family: what.family, words: what.words, peer });
  }

  #remove({ entries, slot: peer }: Shown): void {
    const view = this.#view;
    view.peers.fill(0, peer * PEER_STRIDE, (peer + 1) * PEER_STRIDE);
    removeAddress(view.sources, 0, { words: entries.source.what, tag: 0, peer });
    for (const { what } of entries.macs) removeMac(view.fdb, { hi: what.hi, lo: what.lo, peer });
    for (const { what } of entries.subnets) {
      const entry = { words: what.words, length: what.length, peer };
      if (what.family === 4) removePrefix4(view.prefixes4, entry);
      else removePrefix6(view.prefixes6, entry);
      this.#lengths[what.family][what.length]!--;
    }
    for (const { what } of entries.vteps)
      removeNeighbour(view.neighbours, { family: what.family, words: what.words, peer });
  }
}

function longestFirst(counts: Int32Array): number[] {
  const lengths: number[] = [];
  for (let length = counts.length - 1; length >= 0; length--) if (counts[length]! > 0) lengths.push(length);
  return lengths;
}
