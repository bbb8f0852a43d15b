/*
 * A ring of records of one size that keeps the last ones: the producer overwrites the oldest and never waits. A reader first
 * copies its record and asks afterwards whether the producer may have overwritten it meanwhile (`isKept`).
 *
 * Positions count records and run within `capacity` times a whole number, so that a position modulo the capacity is
 * the place of the record. One word tells the reader how far the producer is; it is stored after each batch, and within
 * a batch at least every `chunk` records. The producer may therefore write to the `chunk` places behind the position
 * that a reader sees. A reader leaves out twice as many of the oldest records: an older load than the position may still
 * be under way on machines that reorder loads.
 */

/** Words of the shared memory in front of the records. */
const WRITTEN = 0;
/** Records that the ring has, until it is full. */
const FILLED = 1;
const CAPACITY = 2;
const CHUNK = 3;
const HEADER_WORDS = 16;

/** Records after which a position is stored within a batch, at most. */
const CHUNK_MAX = 1024;
const POSITION_MAX = 2 ** 30;

/** The ring as one side sees it. */
export interface KeptRing {
  readonly control: Int32Array;
  readonly words: Int32Array;
  /** The same bytes, for the contents. */
  readonly view: DataView;
  readonly capacity: number;
  readonly recordWords: number;
  readonly chunk: number;
  /** Positions are below this. */
  readonly modulus: number;
  /** Producer: next position, place of its record as index of `words`, records since the last `publishKept`. */
  head: number;
  at: number;
  pending: number;
}

/** Bytes of shared memory that `capacity` records take. */
export function keptRingBytes(capacity: number, recordWords: number): number {
  return 4 * (HEADER_WORDS + capacity * recordWords);
}

/** Prepares a part of shared memory, all zeros, for an empty ring. */
export function createKeptRing(memory: SharedArrayBuffer, offset: number, capacity: number): void {
  const control = new Int32Array(memory, offset, HEADER_WORDS);
  control[CAPACITY] = capacity;
  control[CHUNK] = Math.max(1, Math.min(CHUNK_MAX, capacity >> 2));
}

/** Opens either side. A producer that starts again continues after the last published record. */
export function openKeptRing(memory: SharedArrayBuffer, offset: number, recordWords: number): KeptRing {
  const control = new Int32Array(memory, offset, HEADER_WORDS);
  const [written = 0, , capacity = 0, chunk = 0] = control;
  const start = offset + 4 * HEADER_WORDS;
  return {
    control,
    words: new Int32Array(memory, start, capacity * recordWords),
    view: new DataView(memory, start, 4 * capacity * recordWords),
    capacity,
    recordWords,
    chunk,
    modulus: capacity * Math.floor(POSITION_MAX / capacity),
    head: written,
    at: (written % capacity) * recordWords,
    pending: 0,
  };
}

/**
 * Place of the next record, as index of `words`.
 * @hot
 */
export function nextKept(ring: KeptRing): number {
  if (ring.pending === ring.chunk) publishKept(ring);
  const at = ring.at;
  ring.pending++;
  ring.head = ring.head + 1 === ring.modulus ? 0 : ring.head + 1;
  ring.at = at + ring.recordWords === ring.words.length ? 0 : at + ring.recordWords;
  return at;
}

/**
 * Publishes the records since the last call. Once per batch.
 * @hot
 */
export function publishKept(ring: KeptRing): void {
  const control = ring.control;
  Atomics.store(control, WRITTEN, ring.head);
  // Last: a reader that sees this many records sees the position after them as well.
  const filled = control[FILLED]!;
  if (filled < ring.capacity) Atomics.store(control, FILLED, Math.min(filled + ring.pending, ring.capacity));
  ring.pending = 0;
}

/** Position after the newest record. */
export function keptEnd(ring: KeptRing): number {
  return Atomics.load(ring.control, WRITTEN);
}

/** Positions `start` to `end`, without the latter. */
export interface KeptSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * The records that a reader may take now. Both ends are of one moment: with ends of two moments the start could be behind the end,
 * and a reader would count through all positions.
 * @param from leaves out the records before it
 */
export function keptSpan(ring: KeptRing, from?: number): KeptSpan {
  // Before the position, which the producer stores first: an older value only leaves records out.
  const filled = Atomics.load(ring.control, FILLED);
  const end = keptEnd(ring);
  const readable = Math.min(filled, Math.max(0, ring.capacity - 2 * ring.chunk));
  const oldest = (end - readable + ring.modulus) % ring.modulus;
  const isOverwritten = from === undefined || keptDistance(ring, from, end) > readable;
  return { start: isOverwritten ? oldest : from, end };
}

/** True if the record at a position has not been overwritten; ask after its bytes were copied. */
export function isKept(ring: KeptRing, position: number): boolean {
  const age = keptDistance(ring, position, keptEnd(ring));
  return age <= ring.capacity - 2 * ring.chunk;
}

/** Records from one position to a later one. */
export function keptDistance(ring: KeptRing, from: number, to: number): number {
  return (to - from + ring.modulus) % ring.modulus;
}

/** Byte offset in `view` of the record at a position. */
export function keptOffset(ring: KeptRing, position: number): number {
  return 4 * (position % ring.capacity) * ring.recordWords;
}
