import { bucketsFor } from './capacity.ts';

/*
 * Exact table: 128-bit address and a one-byte tag -> peer slot. Three tables are made of it: underlay sources (the
 * ingress gate), neighbours, and IPv6 prefixes, where the tag is the prefix length. Open addressing with linear
 * probing, at most half full. A bucket is eight int32, half a cache line and never across two:
 *
 *   words 0..3  the address   word 4  (peer slot + 1) << 8 | tag; 0 marks an empty bucket   words 5..7  free
 *
 * Built by the writer in a half that nobody reads (`tables.ts`); a torn read cannot happen under that protocol.
 */
const MASK = 0;
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

/** Replaces the table that begins at `base`. The caller has checked its room; an address and tag stand in it once. */
export function buildAddresses(table: Int32Array, base: number, entries: readonly AddressEntry[]): void {
  const buckets = bucketsFor(entries.length);
  table.fill(0, base, base + HEADER + buckets * BUCKET);
  table[base + MASK] = buckets - 1;
  for (const { words, tag, peer } of entries) {
    let bucket = hashAddress(words[0]!, words[1]!, words[2]!, words[3]!, tag) & (buckets - 1);
    while (table[base + HEADER + bucket * BUCKET + 4] !== 0) bucket = (bucket + 1) & (buckets - 1);
    const at = base + HEADER + bucket * BUCKET;
    for (let word = 0; word < 4; word++) table[at + word] = words[word]!;
    table[at + 4] = ((peer + 1) << 8) | tag;
  }
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
export function findSource(table: Int32Array, w0: number, w1: number, w2: number, w3: number): number {
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
