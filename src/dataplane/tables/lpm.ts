import { elementAt } from '../../base/at.ts';
import { type BucketLayout, bucketsFor, bucketTable } from './buckets.ts';
import { addressTable, addressWords, findAddress } from './source-table.ts';

/*
 * Longest prefix -> peer slot. One hash table per family holds the prefixes of all lengths, the length being part of
 * the key; a header lists the lengths that occur, longest first, with their masks. A lookup tries one length after
 * the other: a cluster gives all its nodes leases of one length, so it is one probe, whatever the number of
 * prefixes. Why not a trie or DIR-24-8: docs/decisions/0020-prefix-lookup.md.
 *
 *   IPv4   word 0 bucket mask · word 1 lengths in use · from word 2: mask, length · word 79 number of entries ·
 *          from word 80: buckets of { address, (peer slot + 1) << 8 | length }
 *   IPv6   word 0 lengths in use · from word 1: four mask words, length · from word 656: a table of `source-table.ts`
 *
 * Addresses are big-endian values as signed int32. The writer builds the tables in a half that no reader uses
 * (`tables.ts`), so there are no torn reads.
 */
const MASK4 = 0;
const LENGTH_COUNT4 = 1;
const LENGTHS4 = 2;
/** Words of a length in the header: mask, length. */
const LENGTH4 = 2;
const COUNT4 = 79;
const BUCKETS4 = 80;
const BUCKET4 = 2;
/** Word 1 of a bucket. */
const LENGTH_MASK = 0xff;
const SLOT_SHIFT = 8;
const LENGTH_COUNT6 = 0;
const LENGTHS6 = 1;
/** Words of a length in the header: four of the mask, length. */
const LENGTH6 = 5;
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
  return BUCKETS4 + bucketsFor(entries) * BUCKET4;
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
  words: BUCKET4,
  mark: 1,
  maskAt: MASK4,
  countAt: COUNT4,
  first: BUCKETS4,
  hash: (entry, at) => hashPrefix(elementAt(entry, at), elementAt(entry, at + 1) & LENGTH_MASK),
  isSame: (table, at, entry) =>
    table[at] === entry[0] &&
    (elementAt(table, at + 1) & LENGTH_MASK) === (elementAt(entry, 1) & LENGTH_MASK),
};

const scratch = new Int32Array(BUCKET4);

function bucketOf({ words, length, peer }: PrefixEntry): Int32Array {
  scratch[0] = elementAt(words, 0);
  scratch[1] = ((peer + 1) << SLOT_SHIFT) | length;
  return scratch;
}

/** The prefixes of each family. A change leaves the lengths as they are: see `setLengths4` and `setLengths6`. */
export const PREFIXES4 = bucketTable(LAYOUT4, 0, bucketOf);
export const PREFIXES6 = addressTable(BUCKETS6, ({ words, length, peer }: PrefixEntry) => ({
  words,
  tag: length,
  peer,
}));

/** Lists the lengths that a look-up tries. @param lengths each once, longest first */
export function setLengths4(table: Int32Array, lengths: readonly number[]): void {
  table[LENGTH_COUNT4] = lengths.length;
  for (const [index, length] of lengths.entries()) {
    table[LENGTHS4 + index * LENGTH4] = maskWord(length);
    table[LENGTHS4 + index * LENGTH4 + 1] = length;
  }
}

export function setLengths6(table: Int32Array, lengths: readonly number[]): void {
  table[LENGTH_COUNT6] = lengths.length;
  for (const [index, length] of lengths.entries()) {
    const at = LENGTHS6 + index * LENGTH6;
    for (let word = 0; word < 4; word++) table[at + word] = maskWord(length - word * 32);
    table[at + 4] = length;
  }
}

/**
 * Peer slot that owns an IPv4 address, -1 for none.
 * @hot
 */
export function findPrefix4(table: Int32Array, address: number): number {
  const mask = table[MASK4]!;
  const end = LENGTHS4 + table[LENGTH_COUNT4]! * LENGTH4;
  for (let at = LENGTHS4; at < end; at += LENGTH4) {
    const key = address & table[at]!;
    const length = table[at + 1]!;
    let bucket = hashPrefix(key, length) & mask;
    for (;;) {
      const entry = BUCKETS4 + bucket * BUCKET4;
      const value = table[entry + 1]!;
      if (value === 0) break;
      if (table[entry] === key && (value & LENGTH_MASK) === length) return (value >>> SLOT_SHIFT) - 1;
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
  const end = LENGTHS6 + table[LENGTH_COUNT6]! * LENGTH6;
  for (let at = LENGTHS6; at < end; at += LENGTH6) {
    const peer = findAddress(
      table,
      BUCKETS6,
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
