import { type AddressEntry, addressWords, buildAddresses, findAddress } from './addresses.ts';
import { bucketsFor, overflow } from './capacity.ts';

/*
 * Longest prefix -> peer slot. One hash table a family holds the prefixes of all lengths, the length being part of
 * the key; a header lists the lengths that occur, longest first, with their masks. A lookup tries one length after
 * the other: a cluster gives all its nodes leases of one length, so it is one probe, whatever the number of
 * prefixes. Why not a trie or DIR-24-8: docs/decisions/0020-prefix-lookup.md.
 *
 *   IPv4   word 0 bucket mask · word 1 lengths in use · from word 2: mask, length · from word 80: buckets of
 *          { address, (peer slot + 1) << 8 | length }
 *   IPv6   word 0 lengths in use · from word 1: four mask words, length · from word 656: a table of `addresses.ts`
 *
 * Addresses are big-endian values as signed int32. Built by the writer in a half that nobody reads (`tables.ts`);
 * a torn read cannot happen under that protocol.
 */
const LENGTHS4 = 2;
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

/** Replaces what stands in `table`. Each prefix stands in `entries` once. Throws ECAPACITY. */
export function buildLpm4(table: Int32Array, entries: readonly PrefixEntry[]): void {
  const buckets = bucketsFor(entries.length);
  const held = (table.length - BUCKETS4) / 2;
  if (buckets > held) throw overflow('prefixes', held / 2, entries.length);
  table.fill(0, 0, BUCKETS4 + buckets * 2);
  table[0] = buckets - 1;
  for (const length of lengthsOf(entries)) {
    const at = LENGTHS4 + table[1]! * 2;
    table[at] = maskWord(length);
    table[at + 1] = length;
    table[1]!++;
  }
  for (const { words, length, peer } of entries) {
    let bucket = hashPrefix(words[0]!, length) & (buckets - 1);
    while (table[BUCKETS4 + bucket * 2 + 1] !== 0) bucket = (bucket + 1) & (buckets - 1);
    table[BUCKETS4 + bucket * 2] = words[0]!;
    table[BUCKETS4 + bucket * 2 + 1] = ((peer + 1) << 8) | length;
  }
}

/** Replaces what stands in `table`. Each prefix stands in `entries` once. Throws ECAPACITY. */
export function buildLpm6(table: Int32Array, entries: readonly PrefixEntry[]): void {
  if (lpm6Words(entries.length) > table.length)
    throw overflow('prefixes', (table.length - lpm6Words(0) + 64) / 16, entries.length);
  table.fill(0, 0, BUCKETS6);
  for (const length of lengthsOf(entries)) {
    const at = LENGTHS6 + table[0]! * 5;
    for (let word = 0; word < 4; word++) table[at + word] = maskWord(length - word * 32);
    table[at + 4] = length;
    table[0]!++;
  }
  const addresses: AddressEntry[] = entries.map(({ words, length, peer }) => ({ words, tag: length, peer }));
  buildAddresses(table, BUCKETS6, addresses);
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
