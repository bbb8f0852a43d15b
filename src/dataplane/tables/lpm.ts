import { type BucketLayout, bucketsFor, clearBuckets, putBucket, removeBucket } from './buckets.ts';
import { tableFull } from './capacity.ts';
import { addressWords, clearAddresses, findAddress, putAddress, removeAddress } from './source-table.ts';

/*
 * Longest prefix -> peer slot. One hash table a family holds the prefixes of all lengths, the length being part of
 * the key; a header lists the lengths that occur, longest first, with their masks. A lookup tries one length after
 * the other: a cluster gives all its nodes leases of one length, so it is one probe, whatever the number of
 * prefixes. Why not a trie or DIR-24-8: docs/decisions/0020-prefix-lookup.md.
 *
 *   IPv4   word 0 bucket mask · word 1 lengths in use · from word 2: mask, length · word 79 number of entries ·
 *          from word 80: buckets of
 *          { address, (peer slot + 1) << 8 | length }
 *   IPv6   word 0 lengths in use · from word 1: four mask words, length · from word 656: a table of `addresses.ts`
 *
 * Addresses are big-endian values as signed int32. Built by the writer in a half that nobody reads (`tables.ts`);
 * a torn read cannot happen under that protocol.
 */
const LENGTHS4 = 2;
const COUNT4 = 79;
const BUCKETS4 = 80;
const LENGTHS6 = 1;
const BUCKETS6 = 656;

/** A prefix and the slot of the peer that owns it. Bits beyond `length` are zero. */
export interface PrefixEntry {
  /** One word (IPv4) or four (IPv6): big-endian values as signed int32. */
  readonly words: ArrayLike<number>;
  readonly length: number;
  readonly peer: number;
}

/** int32 words that a table of `entries` IPv4 prefixes needs. */
export function lpm4Words(entries: number): number {
  return BUCKETS4 + bucketsFor(entries) * 2;
}

/** int32 words that a table of `entries` IPv6 prefixes needs. */
export function lpm6Words(entries: number): number {
  return BUCKETS6 + addressWords(entries);
}

/** Mask of the first `length` bits of a word, 0 for lengths below, all ones above. */
export function maskWord(length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? -1 : -1 << (32 - length);
}

const LAYOUT4: BucketLayout = {
  words: 2,
  mark: 1,
  maskAt: 0,
  countAt: COUNT4,
  first: BUCKETS4,
  hash: (entry, at) => hashPrefix(entry[at]!, entry[at + 1]! & 0xff),
  isSame: (table, at, entry) => table[at] === entry[0] && (table[at + 1]! & 0xff) === (entry[1]! & 0xff),
};

const scratch = new Int32Array(2);

function bucketOf({ words, length, peer }: PrefixEntry): Int32Array {
  scratch[0] = words[0]!;
  scratch[1] = ((peer + 1) << 8) | length;
  return scratch;
}

/** Empties the table, with buckets for `entries` and no lengths. */
export function clearLpm4(table: Int32Array, entries = 0): void {
  table.fill(0, 0, BUCKETS4);
  clearBuckets(table, 0, LAYOUT4, entries);
}

export function clearLpm6(table: Int32Array, entries = 0): void {
  table.fill(0, 0, BUCKETS6);
  clearAddresses(table, BUCKETS6, entries);
}

/** Puts a prefix in, in the place of the same one. The caller has checked its room, and sets the lengths. */
export function putPrefix4(table: Int32Array, entry: PrefixEntry): void {
  putBucket(table, 0, LAYOUT4, bucketOf(entry));
}

export function putPrefix6(table: Int32Array, { words, length, peer }: PrefixEntry): void {
  putAddress(table, BUCKETS6, { words, tag: length, peer });
}

/** Takes a prefix out; the lengths stay. */
export function removePrefix4(table: Int32Array, entry: PrefixEntry): void {
  removeBucket(table, 0, LAYOUT4, bucketOf(entry));
}

export function removePrefix6(table: Int32Array, { words, length, peer }: PrefixEntry): void {
  removeAddress(table, BUCKETS6, { words, tag: length, peer });
}

/** Lists the lengths that a look-up tries. @param lengths each once, longest first */
export function setLengths4(table: Int32Array, lengths: readonly number[]): void {
  table[1] = lengths.length;
  for (const [index, length] of lengths.entries()) {
    table[LENGTHS4 + index * 2] = maskWord(length);
    table[LENGTHS4 + index * 2 + 1] = length;
  }
}

export function setLengths6(table: Int32Array, lengths: readonly number[]): void {
  table[0] = lengths.length;
  for (const [index, length] of lengths.entries()) {
    const at = LENGTHS6 + index * 5;
    for (let word = 0; word < 4; word++) table[at + word] = maskWord(length - word * 32);
    table[at + 4] = length;
  }
}

/** Replaces what stands in `table`. Each prefix stands in `entries` once. Throws ECAPACITY. */
export function buildLpm4(table: Int32Array, entries: readonly PrefixEntry[]): void {
  const held = (table.length - BUCKETS4) / 2;
  if (bucketsFor(entries.length) > held) throw tableFull('prefixes', held / 2, entries.length);
  clearLpm4(table, entries.length);
  setLengths4(table, lengthsOf(entries));
  for (const entry of entries) putPrefix4(table, entry);
}

/** Replaces what stands in `table`. Each prefix stands in `entries` once. Throws ECAPACITY. */
export function buildLpm6(table: Int32Array, entries: readonly PrefixEntry[]): void {
  if (lpm6Words(entries.length) > table.length)
    throw tableFull('prefixes', (table.length - lpm6Words(0) + 64) / 16, entries.length);
  clearLpm6(table, entries.length);
  setLengths6(table, lengthsOf(entries));
  for (const entry of entries) putPrefix6(table, entry);
}

/** The prefix lengths that occur, longest first. */
function lengthsOf(entries: readonly PrefixEntry[]): number[] {
  return [...new Set(entries.map(entry => entry.length))].sort((a, b) => b - a);
}

/**
 * Peer slot that owns an IPv4 address, -1 for none.
 * @hot
 */
export function findPrefix4(table: Int32Array, address: number): number {
  const mask = table[0]!;
  const end = 2 + (table[1]! << 1);
  for (let at = 2; at < end; at += 2) {
    const key = address & table[at]!;
    const length = table[at + 1]!;
    let bucket = hashPrefix(key, length) & mask;
    for (;;) {
      const entry = 80 + (bucket << 1);
      const value = table[entry + 1]!;
      if (value === 0) break;
      if (table[entry] === key && (value & 0xff) === length) return (value >>> 8) - 1;
      bucket = (bucket + 1) & mask;
    }
  }
  return -1;
}

/**
 * Peer slot that owns an IPv6 address, -1 for none.
 * @hot
 */
export function findPrefix6(table: Int32Array, w0: number, w1: number, w2: number, w3: number): number {
  const end = 1 + table[0]! * 5;
  for (let at = 1; at < end; at += 5) {
    const peer = findAddress(
      table,
      656,
      w0 & table[at]!,
      w1 & table[at + 1]!,
      w2 & table[at + 2]!,
      w3 & table[at + 3]!,
      table[at + 4]!,
    );
    if (peer !== -1) return peer;
  }
  return -1;
}

/**
 * Leases of one cluster differ in a few middle bits and end in zeros: two rounds carry them to the low bits.
 * @hot
 */
function hashPrefix(key: number, length: number): number {
  let h = Math.imul(key ^ length, 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 15), 0x297a2d39);
  return h ^ (h >>> 16);
}
