import type { Peer } from '../descriptor/peer.ts';
import { wordAt } from './buckets.ts';
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
import type { PeerEntries } from './peer-entries.ts';
import { PEER_STRIDE } from './peer-table.ts';
import { clearAddresses, putAddress, removeAddress } from './source-table.ts';
import type { TableView } from './tables.ts';

/** A peer as it stands in a half. */
interface Shown {
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

  get peers(): Peer[] {
    return Array.from(this.#shown.values(), ({ entries }) => entries.peer);
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
  update(wanted: ReadonlyMap<string, PeerEntries>, slotOf: (id: string) => number | undefined): void {
    for (const id of this.#stale) {
      const shown = this.#shown.get(id);
      if (shown) this.#remove(shown);
      this.#shown.delete(id);
    }
    const waiting: string[] = [];
    for (const id of this.#stale) {
      const entries = wanted.get(id);
      if (!entries) continue;
      const slot = slotOf(id);
      if (slot === undefined) {
        waiting.push(id);
        continue;
      }
      const shown = { entries, slot };
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
    const { record, source, mac, prefixes } = entries;
    view.peers.set(record, peer * PEER_STRIDE);
    putAddress(view.sources, 0, { words: source, tag: 0, peer });
    if (mac) putMac(view.fdb, { ...mac, peer });
    for (const { family, words, length } of prefixes) {
      const entry = { words, length, peer };
      if (family === 4) putPrefix4(view.prefixes4, entry);
      else putPrefix6(view.prefixes6, entry);
      count(this.#lengths[family], length, 1);
      // As flannel lays it out, the VTEP has the network address of each prefix.
      if (mac) putNeighbour(view.neighbours, { family, words, peer });
    }
  }

  #remove({ entries, slot: peer }: Shown): void {
    const view = this.#view;
    const { source, mac, prefixes } = entries;
    view.peers.fill(0, peer * PEER_STRIDE, (peer + 1) * PEER_STRIDE);
    removeAddress(view.sources, 0, { words: source, tag: 0, peer });
    if (mac) removeMac(view.fdb, { ...mac, peer });
    for (const { family, words, length } of prefixes) {
      const entry = { words, length, peer };
      if (family === 4) removePrefix4(view.prefixes4, entry);
      else removePrefix6(view.prefixes6, entry);
      count(this.#lengths[family], length, -1);
      // As flannel lays it out, the VTEP has the network address of each prefix.
      if (mac) removeNeighbour(view.neighbours, { family, words, peer });
    }
  }
}

function count(counts: Int32Array, length: number, more: 1 | -1): void {
  counts[length] = wordAt(counts, length) + more;
}

function longestFirst(counts: Int32Array): number[] {
  const lengths: number[] = [];
  for (const [length, count] of counts.entries()) if (count > 0) lengths.unshift(length);
  return lengths;
}
