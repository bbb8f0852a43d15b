import { RipstopError } from '../../base/errors.ts';

/*
 * A ring of bytes between two threads, for captured frames: the worker must not wait for the reader.
 * One producer, one consumer, records of any length, no allocation and no lock on either side. The consumer polls.
 *
 * States of a record:
 *   free       the producer may write there
 *   reserved   `reserve` gave its bytes to the producer, which fills them; the consumer cannot see it
 *   published  `commit`, once per batch, moves WRITE past all reserved records
 *   taken      `nextRecord` gave its bytes to the consumer, which reads them in place
 *   free       `release` moves READ past all taken records
 * `createRing` makes an empty ring; each side opens it once. The end of one side, also by a crash, does not harm the other:
 * without a consumer the ring fills up and drops are counted, without a producer it runs empty. A producer that restarts
 * opens the same memory: HEAD goes back to WRITE, so records that were reserved but not published are lost.
 *
 * A record: int32 length, int32 kind, the bytes, padding to eight. A record never wraps: where the end of the ring
 * is too near, a filler record leads to its beginning. When the ring is full, `reserve` counts a drop and the producer
 * continues. Positions run freely as int32 and are masked into the ring; their difference is the fill level.
 *
 *   line 0   WRITE, stored by the producer          line 1   READ, stored by the consumer
 *   line 2   the producer's own: HEAD, its copy of READ, records dropped, notes
 *   line 3   the consumer's own: TAIL, its copy of WRITE
 *
 * Each side uses its own line and loads the other's only when its copy says full or empty (MCRingBuffer).
 * Order: the bytes are written before the Atomics.store of WRITE and read after the Atomics.load of it; likewise for READ
 * in the other direction. No torn reads: a byte belongs to one side at a time.
 */
const WRITE = 0;
const READ = 16;
const HEAD = 32;
const READ_COPY = 33;
const DROPPED = 34;
/** First of the producer's notes, words that it uses as it likes and that any thread may load. */
export const RING_NOTES = 36;
const TAIL = 48;
const WRITE_COPY = 49;
const HEADER_BYTES = 256;

/** Bytes of length and kind in front of a record, and the word of the kind. */
const RECORD_HEAD = 8;
const KIND_WORD = 1;
/** Kind of a filler record. */
const FILLER = -1;

const SIZE_MIN = 1024;
const SIZE_MAX = 1 << 30;

/** The ring as one side sees it. */
export interface Ring {
  readonly memory: SharedArrayBuffer;
  /** Positions, by line. */
  readonly control: Int32Array;
  /** The records, as int32 for their headers. */
  readonly words: Int32Array;
  /** The same bytes, for the contents. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Bytes, a power of two. */
  readonly size: number;
}

/** Memory of an empty ring. `size` is bytes, a power of two within 1 KiB..1 GiB; a record takes at most half. */
export function createRing(size: number): SharedArrayBuffer {
  if (size < SIZE_MIN || size > SIZE_MAX || (size & (size - 1)) !== 0)
    throw new RipstopError(
      'ECONFIG',
      `a ring of ${size} bytes`,
      'give a power of two within 1024..1073741824',
    );
  return new SharedArrayBuffer(HEADER_BYTES + size);
}

function open(memory: SharedArrayBuffer): Ring {
  const size = memory.byteLength - HEADER_BYTES;
  return {
    memory,
    control: new Int32Array(memory, 0, HEADER_BYTES / 4),
    words: new Int32Array(memory, HEADER_BYTES),
    bytes: new Uint8Array(memory, HEADER_BYTES),
    view: new DataView(memory, HEADER_BYTES),
    size,
  };
}

/** The producer's side. Records that an earlier producer reserved and did not publish are discarded. */
export function openProducer(memory: SharedArrayBuffer): Ring {
  const ring = open(memory);
  ring.control[HEAD] = Atomics.load(ring.control, WRITE);
  ring.control[READ_COPY] = Atomics.load(ring.control, READ);
  return ring;
}

/** The consumer's side. Records that an earlier consumer took and did not release are read again. */
export function openConsumer(memory: SharedArrayBuffer): Ring {
  const ring = open(memory);
  ring.control[TAIL] = Atomics.load(ring.control, READ);
  ring.control[WRITE_COPY] = Atomics.load(ring.control, READ);
  return ring;
}

/**
 * Bytes that a record of `length` bytes takes: with its head, padded to eight.
 * @hot
 */
function recordBytes(length: number): number {
  return (length + RECORD_HEAD + 7) & ~7;
}

/**
 * Room for a record of `length` bytes: the offset in `bytes` where they go, or -1 when the record does not fit and
 * is counted as dropped.
 * @param kind what the record is, not negative
 * @hot
 */
export function reserve(ring: Ring, kind: number, length: number): number {
  const control = ring.control;
  const size = ring.size;
  const head = control[HEAD]!;
  const at = head & (size - 1);
  const need = recordBytes(length);
  const filler = need > size - at ? size - at : 0;
  if (size - ((head - control[READ_COPY]!) | 0) < need + filler)
    control[READ_COPY] = Atomics.load(control, READ);
  if (need > size >> 1 || size - ((head - control[READ_COPY]!) | 0) < need + filler) {
    control[DROPPED]!++;
    return -1;
  }
  const words = ring.words;
  if (filler !== 0) words[(at >> 2) + KIND_WORD] = FILLER;
  const start = filler === 0 ? at : 0;
  words[start >> 2] = length;
  words[(start >> 2) + KIND_WORD] = kind;
  control[HEAD] = (head + need + filler) | 0;
  return start + RECORD_HEAD;
}

/**
 * Publishes all reserved records. Once per batch.
 * @hot
 */
export function commit(ring: Ring): void {
  const control = ring.control;
  if (control[WRITE] === control[HEAD]) return;
  Atomics.store(control, WRITE, control[HEAD]!);
}

/**
 * Takes the next record: the offset in `bytes` where its contents begin, or -1 when there is none.
 * @hot
 */
export function nextRecord(ring: Ring): number {
  const control = ring.control;
  let tail = control[TAIL]!;
  if (tail === control[WRITE_COPY]) {
    control[WRITE_COPY] = Atomics.load(control, WRITE);
    if (tail === control[WRITE_COPY]) return -1;
  }
  const words = ring.words;
  let at = tail & (ring.size - 1);
  if (words[(at >> 2) + KIND_WORD] === FILLER) {
    tail = (tail + ring.size - at) | 0;
    at = 0;
  }
  control[TAIL] = (tail + recordBytes(words[at >> 2]!)) | 0;
  return at + RECORD_HEAD;
}

/** Bytes of the record whose contents begin at `at`. @hot */
export function recordLength(ring: Ring, at: number): number {
  return ring.words[(at >> 2) - 2]!;
}

/** Kind of the record whose contents begin at `at`. @hot */
export function recordKind(ring: Ring, at: number): number {
  return ring.words[(at >> 2) - 1]!;
}

/**
 * Frees the bytes of all taken records.
 * @hot
 */
export function release(ring: Ring): void {
  Atomics.store(ring.control, READ, ring.control[TAIL]!);
}

/**
 * Records that did not fit, since the ring was made, modulo 2^32. Any thread.
 * @hot
 */
export function droppedRecords(ring: Ring): number {
  return Atomics.load(ring.control, DROPPED) >>> 0;
}
