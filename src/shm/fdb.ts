import { bucketsFor, overflow } from './capacity.ts';

/*
 * FDB: destination MAC -> peer slot. Open addressing with linear probing over a power of two of buckets, at most
 * half of them used. A bucket is two int32, so that one never straddles a cache line and a hit costs one:
 *
 *   word 0   bits 0..15 the first two bytes of the MAC, bits 16..31 peer slot + 1; 0 marks an empty bucket
 *   word 1   the last four bytes of the MAC, big-endian value
 *
 * The table uses as many buckets as its entries need, not as many as its memory could hold: a small cluster stays
 * in the first cache level whatever its capacity. Built by the writer in a half that nobody reads (`tables.ts`); a
 * torn read cannot happen while the readers keep to that protocol.
 */
const MASK = 0;
/** One cache line, so that buckets start on one. */
const HEADER = 16;

/** A MAC address: first two bytes and last four bytes as big-endian values, the latter as a signed int32. */
export interface Mac {
  readonly hi: number;
  readonly lo: number;
}

export interface FdbEntry extends Mac {
  /** Peer slot. */
  readonly peer: number;
}

/** int32 words that a table of `entries` needs. */
export function fdbWords(entries: number): number {
  return HEADER + bucketsFor(entries) * 2;
}

/** Replaces what stands in `table`. Each MAC stands in `entries` once. Throws ECAPACITY. */
export function buildFdb(table: Int32Array, entries: readonly FdbEntry[]): void {
  const buckets = bucketsFor(entries.length);
  const held = (table.length - HEADER) / 2;
  if (buckets > held) throw overflow('macs', held / 2, entries.length);
  table.fill(0, 0, HEADER + buckets * 2);
  table[MASK] = buckets - 1;
  for (const { hi, lo, peer } of entries) {
    let bucket = hashMac(hi, lo) & (buckets - 1);
    while (table[HEADER + bucket * 2] !== 0) bucket = (bucket + 1) & (buckets - 1);
    table[HEADER + bucket * 2] = ((peer + 1) << 16) | hi;
    table[HEADER + bucket * 2 + 1] = lo;
  }
}

/**
 * Peer slot that owns a MAC, -1 for none.
 * @param hi first two bytes, 0..65535
 * @param lo last four bytes, signed int32
 * @hot
 */
export function findMac(table: Int32Array, hi: number, lo: number): number {
  const mask = table[0]!;
  let bucket = hashMac(hi, lo) & mask;
  for (;;) {
    const at = 16 + (bucket << 1);
    const word = table[at]!;
    if (word === 0) return -1;
    if (table[at + 1] === lo && (word & 0xffff) === hi) return (word >>> 16) - 1;
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
