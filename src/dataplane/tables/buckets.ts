import { elementAt } from '../../base/at.ts';

/*
 * The writer's side of the open-addressed tables (`fdb.ts`, `lpm.ts`, `source-table.ts`): linear probing over a power of two
 * of buckets, at most half of them used. Entries are added and removed one by one; a table that gets too full or nearly
 * empty is laid out again in its own memory, so that a change costs a constant number of buckets on average. Only for a
 * half that no reader uses (`tables.ts`).
 */

/** Layout of a table in its array. Positions are words from the base of the table. */
export interface BucketLayout {
  /** int32 words of a bucket. */
  readonly words: number;
  /** Word of a bucket that is 0 while the bucket is empty. */
  readonly mark: number;
  /** Position of the bucket mask (buckets - 1), and of the number of entries. */
  readonly maskAt: number;
  readonly countAt: number;
  /** Where the buckets begin. */
  readonly first: number;
  /** Hash of the entry in the bucket at `at` of `entry`. */
  hash(entry: Int32Array, at: number): number;
  /** True when both have the same key. */
  isSame(table: Int32Array, at: number, entry: Int32Array): boolean;
}

/** Buckets of an open-addressed table of `entries`: a power of two, at least twice as many, so that probes stay short. */
export function bucketsFor(entries: number): number {
  let buckets = 8;
  while (buckets < entries * 2) buckets *= 2;
  return buckets;
}

/** How the writer changes a table of entries of one kind. */
export interface BucketTable<Entry> {
  /** Empties the table. */
  clear(table: Int32Array): void;
  /** Adds an entry, or replaces the one with the same key. The caller has checked that there is room. */
  put(table: Int32Array, entry: Entry): void;
  /** Removes the entry with the key of `entry`, if there is one. */
  remove(table: Int32Array, entry: Entry): void;
}

/**
 * @param base word of the array at which the table begins
 * @param bucketOf the bucket of an entry; it may use the same memory each time
 */
export function bucketTable<Entry>(
  layout: BucketLayout,
  base: number,
  bucketOf: (entry: Entry) => Int32Array,
): BucketTable<Entry> {
  return {
    clear: table => clear(table, base, layout),
    put: (table, entry) => put(table, base, layout, bucketOf(entry)),
    remove: (table, entry) => remove(table, base, layout, bucketOf(entry)),
  };
}

function clear(table: Int32Array, base: number, layout: BucketLayout): void {
  const buckets = bucketsFor(0);
  table.fill(0, base + layout.first, base + layout.first + buckets * layout.words);
  table[base + layout.maskAt] = buckets - 1;
  table[base + layout.countAt] = 0;
}

function put(table: Int32Array, base: number, layout: BucketLayout, entry: Int32Array): void {
  const at = find(table, base, layout, entry);
  const isNew = table[at + layout.mark] === 0;
  table.set(entry, at);
  if (!isNew) return;
  const count = elementAt(table, base + layout.countAt) + 1;
  table[base + layout.countAt] = count;
  if (count * 2 > elementAt(table, base + layout.maskAt) + 1) layOut(table, base, layout, bucketsFor(count));
}

function remove(table: Int32Array, base: number, layout: BucketLayout, entry: Int32Array): void {
  const { words, mark, maskAt, countAt, first } = layout;
  let hole = find(table, base, layout, entry);
  if (table[hole + mark] === 0) return;
  const mask = elementAt(table, base + maskAt);
  const start = base + first;
  // Entries behind the hole move up when their probes began at the hole or before it: no gap may end a probe early.
  let bucket = (hole - start) / words;
  let holeBucket = bucket;
  for (;;) {
    bucket = (bucket + 1) & mask;
    const at = start + bucket * words;
    if (table[at + mark] === 0) break;
    const home = layout.hash(table, at) & mask;
    if (((bucket - home) & mask) < ((bucket - holeBucket) & mask)) continue;
    table.copyWithin(hole, at, at + words);
    hole = at;
    holeBucket = bucket;
  }
  table.fill(0, hole, hole + words);
  const count = elementAt(table, base + countAt) - 1;
  table[base + countAt] = count;
  if (mask >= 8 && count * 8 < mask + 1) layOut(table, base, layout, bucketsFor(count));
}

/** Position of the entry, or of the empty bucket for it. Look-ups of the workers have their own, hot functions. */
function find(table: Int32Array, base: number, layout: BucketLayout, entry: Int32Array): number {
  const mask = elementAt(table, base + layout.maskAt);
  const start = base + layout.first;
  let bucket = layout.hash(entry, 0) & mask;
  for (;;) {
    const at = start + bucket * layout.words;
    if (table[at + layout.mark] === 0 || layout.isSame(table, at, entry)) return at;
    bucket = (bucket + 1) & mask;
  }
}

/** The same entries in another number of buckets. */
function layOut(table: Int32Array, base: number, layout: BucketLayout, buckets: number): void {
  const { words, mark, maskAt, first } = layout;
  const before = (elementAt(table, base + maskAt) + 1) * words;
  const start = base + first;
  const entries = table.slice(start, start + before);
  table.fill(0, start, start + buckets * words);
  table[base + maskAt] = buckets - 1;
  for (let at = 0; at < before; at += words) {
    if (entries[at + mark] === 0) continue;
    const entry = entries.subarray(at, at + words);
    table.set(entry, find(table, base, layout, entry));
  }
}
