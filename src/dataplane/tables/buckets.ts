/*
 * The writer's side of the open-addressed tables (`fdb.ts`, `lpm.ts`, `source-table.ts`): linear probing over a power of two
 * of buckets, at most half of them used. An entry can be put in and taken out without a rebuild; a table that gets too
 * full, or stays nearly empty, is laid out anew in its own memory, so that a change costs a constant number of buckets on
 * average. Only for a half that nobody reads (`tables.ts`).
 */

/** How a table lies in its array. Positions are words from the base of the table. */
export interface BucketLayout {
  /** int32 words of a bucket. */
  readonly words: number;
  /** Word of a bucket that is 0 while the bucket is empty. */
  readonly mark: number;
  /** Where the bucket mask stands (buckets - 1), and the number of entries. */
  readonly maskAt: number;
  readonly countAt: number;
  /** Where the buckets begin. */
  readonly first: number;
  /** Hash of the entry in the bucket at `at` of `entry`. */
  hash(entry: Int32Array, at: number): number;
  /** True when both have the same key. */
  isSame(table: Int32Array, at: number, entry: Int32Array): boolean;
}

/** The word at `at`, for code that need not be fast. @throws RangeError (a bug) outside of the array */
export function wordAt(words: ArrayLike<number>, at: number): number {
  const word = words[at];
  if (word === undefined) throw new RangeError(`bug: no word ${at} among ${words.length}`);
  return word;
}

/** Buckets of an open-addressed table of `entries`: a power of two, at least twice as many, so that probes stay short. */
export function bucketsFor(entries: number): number {
  let buckets = 8;
  while (buckets < entries * 2) buckets *= 2;
  return buckets;
}

/** An empty table with buckets for `entries`. */
export function clearBuckets(table: Int32Array, base: number, layout: BucketLayout, entries = 0): void {
  const buckets = bucketsFor(entries);
  table.fill(0, base + layout.first, base + layout.first + buckets * layout.words);
  table[base + layout.maskAt] = buckets - 1;
  table[base + layout.countAt] = 0;
}

/** Puts an entry in, in the place of one with the same key. The caller has checked its room. */
export function putBucket(table: Int32Array, base: number, layout: BucketLayout, entry: Int32Array): void {
  const at = find(table, base, layout, entry);
  const isNew = table[at + layout.mark] === 0;
  table.set(entry, at);
  if (!isNew) return;
  const count = wordAt(table, base + layout.countAt) + 1;
  table[base + layout.countAt] = count;
  if (count * 2 > wordAt(table, base + layout.maskAt) + 1) layOut(table, base, layout, bucketsFor(count));
}

/** Takes out the entry with the key of `entry`, if it is there. */
export function removeBucket(table: Int32Array, base: number, layout: BucketLayout, entry: Int32Array): void {
  const { words, mark, maskAt, countAt, first } = layout;
  let hole = find(table, base, layout, entry);
  if (table[hole + mark] === 0) return;
  const mask = wordAt(table, base + maskAt);
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
  const count = wordAt(table, base + countAt) - 1;
  table[base + countAt] = count;
  if (mask >= 8 && count * 8 < mask + 1) layOut(table, base, layout, bucketsFor(count));
}

/** Where the entry stands, or the empty bucket where it would. Look-ups have functions of their own: they are hot. */
function find(table: Int32Array, base: number, layout: BucketLayout, entry: Int32Array): number {
  const mask = wordAt(table, base + layout.maskAt);
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
  const before = (wordAt(table, base + maskAt) + 1) * words;
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
