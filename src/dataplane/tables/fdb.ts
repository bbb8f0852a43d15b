import { elementAt } from '../../base/at.ts';
import { type BucketLayout, bucketsFor, bucketTable } from './buckets.ts';
import type { Mac } from './mac.ts';

/*
 * FDB: destination MAC -> peer slot. Open addressing with linear probing over a power of two of buckets, at most
 * half of them used. A bucket is two int32, so that one never straddles a cache line and a hit costs one:
 *
 *   word 0   bits 0..15 the first two bytes of the MAC, bits 16..31 peer slot + 1; 0 marks an empty bucket
 *   word 1   the last four bytes of the MAC, big-endian value
 *
 * The table uses as many buckets as its entries need, not as many as its memory could hold: the table of a small cluster
 * stays in the first cache level whatever its capacity. The writer builds it in a half that no reader uses (`tables.ts`), so
 * there are no torn reads.
 */
/** Header: buckets - 1, and the number of entries. */
const MASK = 0;
const COUNT = 1;
/** One cache line, so that buckets start on one. */
const HEADER = 16;
const BUCKET = 2;
/** Word 0 of a bucket. */
const HI_MASK = 0xffff;
const SLOT_SHIFT = 16;

export interface MacEntry extends Mac {
  /** Peer slot. */
  readonly peer: number;
}

/** int32 words that a table of `entries` needs. */
export function fdbWords(entries: number): number {
  return HEADER + bucketsFor(entries) * BUCKET;
}

const LAYOUT: BucketLayout = {
  words: BUCKET,
  mark: 0,
  maskAt: MASK,
  countAt: COUNT,
  first: HEADER,
  hash: (entry, at) => hashMac(elementAt(entry, at) & HI_MASK, elementAt(entry, at + 1)),
  isSame: (table, at, entry) =>
    table[at + 1] === entry[1] && (elementAt(table, at) & HI_MASK) === (elementAt(entry, 0) & HI_MASK),
};

const scratch = new Int32Array(BUCKET);

function bucketOf({ hi, lo, peer }: MacEntry): Int32Array {
  scratch[0] = ((peer + 1) << SLOT_SHIFT) | hi;
  scratch[1] = lo;
  return scratch;
}

export const FDB = bucketTable(LAYOUT, 0, bucketOf);

/**
 * Peer slot that owns a MAC, -1 for none.
 * @param hi first two bytes, 0..65535
 * @param lo last four bytes, signed int32
 * @hot
 */
export function findMac(table: Int32Array, hi: number, lo: number): number {
  const mask = table[MASK]!;
  let bucket = hashMac(hi, lo) & mask;
  for (;;) {
    const at = HEADER + bucket * BUCKET;
    const word = table[at]!;
    if (word === 0) return -1;
    if (table[at + 1] === lo && (word & HI_MASK) === hi) return (word >>> SLOT_SHIFT) - 1;
    bucket = (bucket + 1) & mask;
  }
}

/**
 * Multiply, fold the high half down, multiply: VTEP MACs are random, pod MACs often count upwards, both must spread.
 * @hot
 */
function hashMac(hi: number, lo: number): number {
  let h = Math.imul(lo ^ Math.imul(hi, 0x27d4eb2d), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 15), 0x297a2d39);
  return h ^ (h >>> 16);
}
