import { elementAt } from '../../base/at.ts';
import type { Peer } from '../descriptor/peer.ts';
import { FDB } from './fdb.ts';
import { PREFIXES4, PREFIXES6, setLengths4, setLengths6 } from './lpm.ts';
import { NEIGHBOURS } from './neighbour-table.ts';
import type { PeerEntries } from './peer-entries.ts';
import { PEER_STRIDE } from './peer-table.ts';
import { SOURCES } from './source-table.ts';
import type { TableView } from './tables.ts';

/** A peer as a half has it. */
interface Shown {
  readonly entries: PeerEntries;
  readonly slot: number;
}

/**
 * The writer's side of one half of the tables: what the half holds, and which peers have changed since it was written. Each
 * half is written every second generation, so a change is noted in both and applied to each in turn: the cost depends on
 * the number of changed peers only.
 */
export class Half {
  readonly #view: TableView;
  readonly #shown = new Map<string, Shown>();
  readonly #stale = new Set<string>();
  /** Number of prefixes of each length. */
  readonly #lengths = { 4: new Int32Array(33), 6: new Int32Array(129) };

  /** Takes over a half of new memory. */
  constructor(view: TableView) {
    this.#view = view;
    FDB.clear(view.fdb);
    PREFIXES4.clear(view.prefixes4);
    PREFIXES6.clear(view.prefixes6);
    SOURCES.clear(view.sources);
    NEIGHBOURS.clear(view.neighbours);
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
   * Applies the noted changes. Removals come first: an entry may have moved from one peer to another.
   * @param wanted all peers
   * @param slotOf undefined when the peer has to wait for a slot; it stays noted then
   */
  update(wanted: ReadonlyMap<string, PeerEntries>, slotOf: (id: string) => number | undefined): void {
    for (const id of this.#stale) {
      const shown = this.#shown.get(id);
      if (shown) this.#write('remove', shown);
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
      this.#write('put', shown);
    }
    this.#stale.clear();
    for (const id of waiting) this.#stale.add(id);
    setLengths4(this.#view.prefixes4, longestFirst(this.#lengths[4]));
    setLengths6(this.#view.prefixes6, longestFirst(this.#lengths[6]));
  }

  #write(verb: 'put' | 'remove', { entries, slot: peer }: Shown): void {
    const view = this.#view;
    const { record, source, mac, prefixes } = entries;
    if (verb === 'put') view.peers.set(record, peer * PEER_STRIDE);
    else view.peers.fill(0, peer * PEER_STRIDE, (peer + 1) * PEER_STRIDE);
    SOURCES[verb](view.sources, { words: source, peer });
    if (mac) FDB[verb](view.fdb, { ...mac, peer });
    for (const { family, words, length } of prefixes) {
      const entry = { words, length, peer };
      if (family === 4) PREFIXES4[verb](view.prefixes4, entry);
      else PREFIXES6[verb](view.prefixes6, entry);
      const counts = this.#lengths[family];
      counts[length] = elementAt(counts, length) + (verb === 'put' ? 1 : -1);
      // As in flannel, the VTEP has the network address of each prefix.
      if (mac) NEIGHBOURS[verb](view.neighbours, { family, words, peer });
    }
  }
}

function longestFirst(counts: Int32Array): number[] {
  const lengths: number[] = [];
  for (const [length, count] of counts.entries()) if (count > 0) lengths.unshift(length);
  return lengths;
}
