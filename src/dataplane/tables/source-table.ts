import { elementAt } from '../../base/at.ts';
import { type BucketLayout, type BucketTable, bucketsFor, bucketTable } from './buckets.ts';

/*
 * Exact table: 128-bit address and a one-byte tag -> peer slot. Three tables are made of it: underlay sources,
 * neighbours, and IPv6 prefixes, where the tag is the prefix length. Open addressing with linear
 * probing, at most half full. A bucket is eight int32, half a cache line and never across two:
 *
 *   words 0..3  the address   word 4  (peer slot + 1) << 8 | tag; 0 marks an empty bucket   words 5..7  free
 *
 * The writer builds it in a half that no reader uses (`tables.ts`), so there are no torn reads.
 */
/** Header: buckets - 1, and the number of entries. */
const MASK = 0;
const COUNT = 1;
const HEADER = 16;
const BUCKET = 8;
/** Word of a bucket that holds slot and tag. */
const VALUE = 4;
const TAG_MASK = 0xff;
const SLOT_SHIFT = 8;
/** Tag of underlay sources. */
const NO_TAG = 0;

export interface AddressEntry {
  /** Four words of the address, signed int32, in the byte order that the caller of `findAddress` uses. */
  readonly words: ArrayLike<number>;
  /** 0..255 */
  readonly tag: number;
  /** Peer slot. */
  readonly peer: number;
}

/** int32 words that a table of `entries` needs. */
export function addressWords(entries: number): number {
  return HEADER + bucketsFor(entries) * BUCKET;
}

const LAYOUT: BucketLayout = {
  words: BUCKET,
  mark: VALUE,
  maskAt: MASK,
  countAt: COUNT,
  first: HEADER,
  hash: (entry, at) =>
    hashAddress(
      elementAt(entry, at),
      elementAt(entry, at + 1),
      elementAt(entry, at + 2),
      elementAt(entry, at + 3),
      elementAt(entry, at + VALUE) & TAG_MASK,
    ),
  isSame: (table, at, entry) =>
    table[at + 3] === entry[3] &&
    table[at + 2] === entry[2] &&
    table[at + 1] === entry[1] &&
    table[at] === entry[0] &&
    (elementAt(table, at + VALUE) & TAG_MASK) === (elementAt(entry, VALUE) & TAG_MASK),
};

const scratch = new Int32Array(BUCKET);

function bucketOf({ words, tag, peer }: AddressEntry): Int32Array {
  for (let word = 0; word < 4; word++) scratch[word] = elementAt(words, word);
  scratch[VALUE] = ((peer + 1) << SLOT_SHIFT) | tag;
  return scratch;
}

/** The exact table that begins at word `base`, with entries of another kind that `toAddress` converts. */
export function addressTable<Entry>(
  base: number,
  toAddress: (entry: Entry) => AddressEntry,
): BucketTable<Entry> {
  return bucketTable(LAYOUT, base, entry => bucketOf(toAddress(entry)));
}

/** Underlay sources: the words of an address in memory order, and the slot of its peer. */
export const SOURCES = addressTable(0, ({ words, peer }: Omit<AddressEntry, 'tag'>) => ({
  words,
  tag: NO_TAG,
  peer,
}));

/**
 * Peer slot of an address under `tag` in the table that begins at `base`, -1 for none.
 * @hot
 */
export function findAddress(
  table: Int32Array,
  base: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  tag: number,
): number {
  const mask = table[base + MASK]!;
  const first = base + HEADER;
  let bucket = hashAddress(w0, w1, w2, w3, tag) & mask;
  for (;;) {
    const at = first + bucket * BUCKET;
    const value = table[at + VALUE]!;
    if (value === 0) return -1;
    if (
      table[at + 3] === w3 &&
      table[at + 2] === w2 &&
      table[at + 1] === w1 &&
      table[at] === w0 &&
      (value & TAG_MASK) === tag
    )
      return (value >>> SLOT_SHIFT) - 1;
    bucket = (bucket + 1) & mask;
  }
}

/**
 * Peer slot behind an underlay source, -1 for none: the first source check of ingress. The words are those of the
 * descriptor's source address: sixteen bytes in network order (IPv4 as ::ffff:a.b.c.d), read as the host's int32.
 * @hot
 */
export function findPeerBySource(table: Int32Array, w0: number, w1: number, w2: number, w3: number): number {
  return findAddress(table, 0, w0, w1, w2, w3, NO_TAG);
}

/**
 * Each word is multiplied by an odd number of its own before all are folded: addresses of one cluster differ in
 * few, mostly neighbouring bits.
 * @hot
 */
function hashAddress(w0: number, w1: number, w2: number, w3: number, tag: number): number {
  let h = Math.imul(w0, 0x2c1b3c6d) ^ Math.imul(w1, 0x297a2d39);
  h = (h ^ (h >>> 15)) + Math.imul(w2, 0x27d4eb2d) + Math.imul(w3, 0x165667b1) + tag;
  h = Math.imul(h ^ (h >>> 16), 0x1b873593);
  h = Math.imul(h ^ (h >>> 13), 0x2545f491);
  return h ^ (h >>> 16);
}
