import { type BucketLayout, bucketsFor, clearBuckets, putBucket, removeBucket } from './buckets.ts';

/*
 * Exact table: 128-bit address and a one-byte tag -> peer slot. Three tables are made of it: underlay sources (the
 * ingress gate), neighbours, and IPv6 prefixes, where the tag is the prefix length. Open addressing with linear
 * probing, at most half full. A bucket is eight int32, half a cache line and never across two:
 *
 *   words 0..3  the address   word 4  (peer slot + 1) << 8 | tag; 0 marks an empty bucket   words 5..7  free
 *
 * Built by the writer in a half that nobody reads (`tables.ts`); a torn read cannot happen under that protocol.
 */
/** Header: buckets - 1, and the number of entries. */
const MASK = 0;
const COUNT = 1;
const HEADER = 16;
const BUCKET = 8;

export interface AddressEntry {
  /** Four words of the address, signed int32; the byte order is the caller's, the same in `findAddress`. */
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
  mark: 4,
  maskAt: MASK,
  countAt: COUNT,
  first: HEADER,
  hash: (entry, at) =>
    hashAddress(entry[at]!, entry[at + 1]!, entry[at + 2]!, entry[at + 3]!, entry[at + 4]! & 0xff),
  isSame: (table, at, entry) =>
    table[at + 3] === entry[3] &&
    table[at + 2] === entry[2] &&
    table[at + 1] === entry[1] &&
    table[at] === entry[0] &&
    (table[at + 4]! & 0xff) === (entry[4]! & 0xff),
};

const scratch = new Int32Array(BUCKET);

function bucketOf({ words, tag, peer }: AddressEntry): Int32Array {
  for (let word = 0; word < 4; word++) scratch[word] = words[word]!;
  scratch[4] = ((peer + 1) << 8) | tag;
  return scratch;
}

/** Empties the table that begins at `base`, with buckets for `entries`. */
export function clearAddresses(table: Int32Array, base: number, entries = 0): void {
  clearBuckets(table, base, LAYOUT, entries);
}

/** Puts an address in, in the place of the same one. The caller has checked its room. */
export function putAddress(table: Int32Array, base: number, entry: AddressEntry): void {
  putBucket(table, base, LAYOUT, bucketOf(entry));
}

/** Takes an address out. */
export function removeAddress(table: Int32Array, base: number, entry: AddressEntry): void {
  removeBucket(table, base, LAYOUT, bucketOf(entry));
}

/** Replaces the table that begins at `base`. The caller has checked its room; an address and tag stand in it once. */
export function buildAddresses(table: Int32Array, base: number, entries: readonly AddressEntry[]): void {
  clearAddresses(table, base, entries.length);
  for (const entry of entries) putAddress(table, base, entry);
}

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
  const mask = table[base]!;
  const first = base + 16;
  let bucket = hashAddress(w0, w1, w2, w3, tag) & mask;
  for (;;) {
    const at = first + (bucket << 3);
    const value = table[at + 4]!;
    if (value === 0) return -1;
    if (
      table[at + 3] === w3 &&
      table[at + 2] === w2 &&
      table[at + 1] === w1 &&
      table[at] === w0 &&
      (value & 0xff) === tag
    )
      return (value >>> 8) - 1;
    bucket = (bucket + 1) & mask;
  }
}

/**
 * Peer slot behind an underlay source, -1 for none: the door of the ingress gate. The words are those of the
 * descriptor's source address: sixteen bytes in network order (IPv4 as ::ffff:a.b.c.d), read as the host's int32.
 * @hot
 */
export function findPeerBySource(table: Int32Array, w0: number, w1: number, w2: number, w3: number): number {
  return findAddress(table, 0, w0, w1, w2, w3, 0);
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
