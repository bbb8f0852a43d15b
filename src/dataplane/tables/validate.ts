import { RipstopError } from '../../base/errors.ts';
import { type TableCapacity, tableFull } from './capacity.ts';
import { maskWord } from './lpm.ts';
import type { PeerEntries, TableEntry } from './peer-entries.ts';
import { subnetKey, subnetText } from './subnet.ts';

/*
 * Who owns what among the peers that are published: nothing may belong to two of them, or the tables would have to
 * choose. Kept from one change to the next, so that a change costs what its own peers take.
 */

/** Entries of the tables that some peers take. */
export interface TableNeeds {
  readonly peers: number;
  readonly macs: number;
  readonly prefixes: number;
}

/** The entries of all peers. */
export class Ownership {
  readonly #allowNested: boolean;
  readonly #entries = new Map<string, PeerEntries>();
  readonly #addresses = new UniqueIndex('underlay address', 'list each node once');
  readonly #macs = new UniqueIndex('MAC', 'give each VTEP a MAC of its own');
  readonly #prefixes = new UniqueIndex('subnet', 'give each peer subnets of its own');
  readonly #vteps = new UniqueIndex('VTEP address', 'give each VTEP an address of its own');
  /** Prefixes by length. */
  readonly #lengths = { 4: new Int32Array(33), 6: new Int32Array(129) };
  readonly #count = { 4: 0, 6: 0 };

  /** @param allowNested a prefix of one peer may lie within a shorter one of another */
  constructor(allowNested: boolean) {
    this.#allowNested = allowNested;
  }

  get needs(): TableNeeds {
    const prefixes = Math.max(this.#count[4], this.#count[6], Math.ceil(this.#vteps.size / 2));
    return { peers: this.#entries.size, macs: this.#macs.size, prefixes };
  }

  /**
   * Notes what a peer owns; it owns nothing so far.
   * @throws RipstopError ECONFIG, EOVERLAP (names both peers); nothing is noted then
   */
  add(entries: PeerEntries): void {
    const { id } = entries;
    if (this.#entries.has(id))
      throw new RipstopError('ECONFIG', `peer ${id} is listed twice`, 'list each node once');
    this.#addresses.refuse(entries.source, id);
    for (const mac of entries.macs) this.#macs.refuse(mac, id);
    for (const subnet of entries.subnets) this.#prefixes.refuse(subnet, id);
    for (const vtep of entries.vteps) this.#vteps.refuse(vtep, id);
    if (!this.#allowNested) this.#rejectNestedPrefixes(entries);
    this.#entries.set(id, entries);
    this.#addresses.add(entries.source, id);
    for (const mac of entries.macs) this.#macs.add(mac, id);
    for (const subnet of entries.subnets) {
      this.#prefixes.add(subnet, id);
      this.#lengths[subnet.what.family][subnet.what.length]!++;
      this.#count[subnet.what.family]++;
    }
    for (const vtep of entries.vteps) this.#vteps.add(vtep, id);
  }

  /** Forgets what a peer owns. */
  remove(id: string): void {
    const entries = this.#entries.get(id);
    if (!entries) return;
    this.#entries.delete(id);
    this.#addresses.remove(entries.source);
    for (const mac of entries.macs) this.#macs.remove(mac);
    for (const subnet of entries.subnets) {
      this.#prefixes.remove(subnet);
      this.#lengths[subnet.what.family][subnet.what.length]!--;
      this.#count[subnet.what.family]--;
    }
    for (const vtep of entries.vteps) this.#vteps.remove(vtep);
  }

  /**
   * Throws EOVERLAP when a prefix of the peer lies within a prefix of another or around one: where leases never nest it is
   * a slip of the hand, and the longer one would silently take traffic from the shorter.
   */
  #rejectNestedPrefixes({ id, subnets }: PeerEntries): void {
    for (const { what } of subnets) {
      const lengths = this.#lengths[what.family];
      for (let length = 0; length < what.length; length++) {
        if (lengths[length] === 0) continue;
        const outer = cut(what.words, length);
        const owner = this.#prefixes.ownerOf(subnetKey(outer, length));
        if (owner !== undefined && owner !== id) throw nested(what, id, { words: outer, length }, owner);
      }
      // Those inside can only be found one by one; there are none unless the lengths differ.
      if (!lengths.some((count, length) => count > 0 && length > what.length)) continue;
      for (const other of this.#entries.values())
        for (const { what: inner } of other.subnets)
          if (
            inner.family === what.family &&
            inner.length > what.length &&
            subnetKey(cut(inner.words, what.length), what.length) === subnetKey(what.words, what.length)
          )
            throw nested(inner, other.id, what, id);
    }
  }
}

/** @throws RipstopError ECAPACITY (names the key) */
export function checkRoom(needs: TableNeeds, capacity: TableCapacity): void {
  for (const key of ['peers', 'macs', 'prefixes'] as const)
    if (needs[key] > capacity[key]) throw tableFull(key, capacity[key], needs[key]);
}

/** Remembers the owner of each key. */
class UniqueIndex {
  readonly #what: string;
  readonly #hint: string;
  readonly #owners = new Map<string, string>();

  constructor(what: string, hint: string) {
    this.#what = what;
    this.#hint = hint;
  }

  /** Throws EOVERLAP when another has it. */
  refuse<T>({ key, what, text }: TableEntry<T>, id: string): void {
    const owner = this.#owners.get(key);
    if (owner === undefined || owner === id) return;
    throw new RipstopError(
      'EOVERLAP',
      `peers ${owner} and ${id} both have the ${this.#what} ${text(what)}`,
      this.#hint,
    );
  }

  add({ key }: { readonly key: string }, id: string): void {
    this.#owners.set(key, id);
  }

  remove({ key }: { readonly key: string }): void {
    this.#owners.delete(key);
  }

  get size(): number {
    return this.#owners.size;
  }

  ownerOf(key: string): string | undefined {
    return this.#owners.get(key);
  }
}

interface Prefix {
  readonly words: readonly number[];
  readonly length: number;
}

function cut(words: readonly number[], length: number): number[] {
  return words.map((word, index) => word & maskWord(length - index * 32));
}

function nested(inner: Prefix, id: string, outer: Prefix, owner: string): RipstopError {
  return new RipstopError(
    'EOVERLAP',
    `${subnetText(inner.words, inner.length)} of peer ${id} lies within ${subnetText(outer.words, outer.length)} of peer ${owner}`,
    'give each peer subnets of its own',
  );
}
