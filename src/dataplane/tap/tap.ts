import type { Batch } from '../descriptor/descriptor.ts';
import { commit, createRing, droppedRecords, openProducer, type Ring, reserve } from '../descriptor/ring.ts';

/*
 * Where the hot path lets itself be watched. After each turn the worker hands the batch to `watchBatch`, which looks
 * at one flag and, when a point is on, copies what is wanted into a ring. It never waits. Everything else of a capture
 * happens on the other side of that ring.
 *
 * After a turn the verdicts are final and the bytes still stand in the slab; a frame that was sent whole has its
 * checksum finished and its offload cleared by then.
 */

/** Bits of the points; the number of a point is the place of its bit in POINT_NAMES. */
export const EGRESS_INNER = 1;
export const EGRESS_OUTER = 2;
export const INGRESS_OUTER = 4;
export const INGRESS_INNER = 8;
export const DROP = 16;
export const POINT_NAMES = [
  'egress-inner',
  'egress-outer',
  'ingress-outer',
  'ingress-inner',
  'drop',
] as const;
export type PointName = (typeof POINT_NAMES)[number];

/*
 * A record of the ring: int32 words, then the bytes. Points of one frame share a record: the reader makes a packet
 * for each. The bytes begin at HEADER_BYTES + (TURN & 3): slab and ring are then aligned alike, and words can
 * be copied.
 */
/** Kinds of record: which way the frame went. */
export const KIND_EGRESS = 0;
export const KIND_INGRESS = 1;
/** Points that the frame passed and that were wanted. */
export const RECORD_POINTS = 0;
/** Nanoseconds since 1970-01-01 UTC of the batch: seconds, and nanoseconds within. */
export const RECORD_SECONDS = 1;
export const RECORD_NANOSECONDS = 2;
/** Bytes copied, and bytes that there were. On ingress with the encapsulation header, on egress without. */
export const RECORD_CAPTURED = 3;
export const RECORD_LENGTH = 4;
export const RECORD_VERDICT = 5;
/** Peer slot, -1 for none. */
export const RECORD_PEER = 6;
/** The virtio-net fields of the descriptor: see `dataplane/descriptor/descriptor.ts`. */
export const RECORD_OFFLOAD = 7;
export const RECORD_GSO_SIZE = 8;
export const RECORD_CSUM_START = 9;
export const RECORD_CSUM_OFFSET = 10;
/** Datagrams sent, or frames merged. */
export const RECORD_SEGMENTS = 11;
export const RECORD_ERROR = 12;
/** Egress: index of the sending socket. Ingress: UDP source port. */
export const RECORD_PORT = 13;
/** Ingress: underlay source address in four words; egress: zeros. */
export const RECORD_ADDRESS = 14;
/** Records that this ring had to drop so far, modulo 2^32. */
export const RECORD_LOST = 18;
/**
 * Low two bits: those of the place of the bytes in the slab, which is the padding in front of them. The others:
 * nanoseconds from the moment that the batch was read to the stamp; 0: not known, or more than half a second.
 */
export const RECORD_TURN = 19;
export const HEADER_BYTES = 80;

/**
 * Taps of a data plane: each has a selection of its own and a ring of its own in every worker, so that who looks at
 * one neither waits for another nor loses by it. Memory that no tap has touched is not there.
 */
export const TAPS = 6;
/** The tap that feeds the flow table; the others are for captures. */
export const FLOW_TAP = 0;

/*
 * The control block: int32 in shared memory, written by whoever starts and stops the captures, read by the workers.
 * Word 0: points that are on at any tap, 0: nobody looks. Four words a tap follow.
 */
const CONTROL_WORDS = 4;
/** Points that are on; 0: this tap is off. */
const CONTROL_POINTS = 0;
/** Bytes to keep of a frame at most. */
const CONTROL_SNAP = 1;
/** Bit n: frames of verdict n are wanted. */
const CONTROL_VERDICTS = 2;
/** Peer slot that is wanted, -1 for all. */
const CONTROL_PEER = 3;

/** What a tap asks of the workers. The rest of its filter is for the reader. */
export interface Wanted {
  /** Bits of the points. */
  readonly points: number;
  /** Bytes to keep of a frame, 0 for all. */
  readonly snapLength: number;
  /** Numbers of the verdicts, or undefined for all. */
  readonly verdicts?: readonly number[];
  /** Peer slot, or undefined for all. */
  readonly peer?: number;
}

/** Memory that steers the taps of all workers; all off. */
export function createControl(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * CONTROL_WORDS * (TAPS + 1));
}

/** Turns a tap on or off (`undefined`), while traffic flows. Workers see it at their next batch. One thread. */
export function steer(control: SharedArrayBuffer, tap: number, wanted: Wanted | undefined): void {
  // Off first: a worker must not see new points together with the old snap length.
  Atomics.store(wordsOf(control, tap), CONTROL_POINTS, 0);
  if (wanted) select(wordsOf(control, tap), wanted);
  let points = 0;
  for (let one = 0; one < TAPS; one++) points |= wordsOf(control, one)[CONTROL_POINTS]!;
  Atomics.store(new Int32Array(control), 0, points);
}

/** The words of one tap. */
function wordsOf(control: SharedArrayBuffer, tap: number): Int32Array {
  return new Int32Array(control, 4 * CONTROL_WORDS * (tap + 1), CONTROL_WORDS);
}

function select(words: Int32Array, wanted: Wanted): void {
  Atomics.store(words, CONTROL_SNAP, wanted.snapLength || 0x7fffffff);
  Atomics.store(
    words,
    CONTROL_VERDICTS,
    wanted.verdicts?.reduce((mask, verdict) => mask | (1 << verdict), 0) ?? -1,
  );
  Atomics.store(words, CONTROL_PEER, wanted.peer ?? -1);
  Atomics.store(words, CONTROL_POINTS, wanted.points);
}

/** Bytes of a worker's ring: some thousand frames of snap length 128, or sixty whole superframes. */
export const RING_BYTES = 4 << 20;

/** Memory of one tap's ring in one worker. */
export function createTapRing(bytes = RING_BYTES): SharedArrayBuffer {
  return createRing(bytes);
}

/** What a worker knows of its batches. Constant while it runs. */
export interface TapOptions {
  readonly control: SharedArrayBuffer;
  /** Of `createTapRing`, by tap. */
  readonly rings: readonly SharedArrayBuffer[];
  readonly batch: Batch;
  readonly direction: 'egress' | 'ingress';
  /** Numbers of the verdicts that mean the frame is lost. */
  readonly drops: readonly number[];
  /** Ingress: numbers of the verdicts that leave DESC_OFFSET on the datagram, before its encapsulation header. */
  readonly unopened: readonly number[];
  /** Ingress: bytes of the encapsulation header. */
  readonly headerBytes: number;
}

/** A worker's side of one tap. */
export interface Tap {
  /** Its words of the control block. */
  readonly control: Int32Array;
  readonly ring: Ring;
  readonly table: Int32Array;
  /** The slab as words. */
  readonly slab: Int32Array;
  /** KIND_EGRESS or KIND_INGRESS, and the points that this direction has. */
  readonly direction: number;
  readonly points: number;
  readonly dropMask: number;
  readonly unopenedMask: number;
  readonly headerBytes: number;
  /** Wall clock at 0 of `performance.now()`: seconds, nanoseconds. */
  readonly origin: Int32Array;
}

/** A worker's side of all taps. */
export interface Taps {
  /** The control block. */
  readonly control: Int32Array;
  readonly points: number;
  readonly origin: Int32Array;
  /** `performance.now()` when the batch was read (`dataplane/fast-path/stamped.ts`). */
  readonly readAt: Float64Array;
  readonly each: readonly Tap[];
}

/** Opens a worker's side; call it in the worker, whose `performance.now()` the stamps go by. */
export function openTaps(options: TapOptions): Taps {
  const { batch } = options;
  const bit = (mask: number, verdict: number) => mask | (1 << verdict);
  const seconds = Math.floor(performance.timeOrigin / 1000);
  const common = {
    table: batch.table,
    slab: new Int32Array(batch.slab.buffer, batch.slab.byteOffset, batch.slab.byteLength >> 2),
    direction: options.direction === 'egress' ? KIND_EGRESS : KIND_INGRESS,
    points:
      options.direction === 'egress'
        ? EGRESS_INNER | EGRESS_OUTER | DROP
        : INGRESS_OUTER | INGRESS_INNER | DROP,
    dropMask: options.drops.reduce(bit, 0),
    unopenedMask: options.unopened.reduce(bit, 0),
    headerBytes: options.direction === 'egress' ? 0 : options.headerBytes,
    origin: Int32Array.of(seconds, Math.round((performance.timeOrigin - seconds * 1000) * 1e6)),
  };
  const { points, origin } = common;
  const each = options.rings.map((ring, tap) => ({
    ...common,
    control: wordsOf(options.control, tap),
    ring: openProducer(ring),
  }));
  const readAt = new Float64Array(1);
  return { control: new Int32Array(options.control), points, origin, readAt, each };
}

/**
 * Points that are on for this worker, at one tap or at any, 0 when it has nothing to capture. Once a batch.
 * @hot
 */
export function wantedPoints(tap: Tap | Taps): number {
  return tap.control[0]! & tap.points;
}

/**
 * Copies the wanted ones of the descriptors 0..count-1 into the ring; `commit` of `dataplane/descriptor/ring.ts` publishes them, once
 * a batch. What does not fit is counted by the ring and lost to the capture, never to the traffic.
 * @param points result of `wantedPoints`, not 0
 * @param sources source addresses of the batch as in `dataplane/io/interfaces.ts`; not looked at on egress
 * @param nowMs `performance.now()` of the batch
 * @param tookNs nanoseconds since it was read, below 2^29
 * @hot
 */
export function captureBatch(
  tap: Tap,
  points: number,
  count: number,
  sources: Int32Array,
  nowMs: number,
  tookNs: number,
): void {
  const { table, slab, ring, control, origin, direction, dropMask, unopenedMask, headerBytes } = tap;
  const words = ring.words;
  const lost = droppedRecords(ring) | 0;
  const snap = control[1]!;
  const verdicts = control[2]!;
  const onlyPeer = control[3]!;
  const elapsed = origin[1]! + nowMs * 1e6;
  const carried = Math.floor(elapsed / 1e9);
  const seconds = (origin[0]! + carried) | 0;
  const nanoseconds = (elapsed - carried * 1e9) | 0;
  for (let i = 0; i < count; i++) {
    const at = i * 16;
    const verdict = table[at + 6]!;
    const peer = table[at + 7]!;
    if (((verdicts >>> verdict) & 1) === 0 || (onlyPeer !== -1 && peer !== onlyPeer)) continue;
    // A lost frame came by at its first point and at `drop`, not at the last one; the others never at `drop`.
    const passed = points & (((dropMask >>> verdict) & 1) === 0 ? ~16 : ~10);
    if (passed === 0) continue;
    const front = ((unopenedMask >>> verdict) & 1) === 0 ? headerBytes : 0;
    const offset = table[at]! - front;
    const length = table[at + 1]! + front;
    const captured = length < snap ? length : snap;
    const copied = (offset & 3) + captured;
    const record = reserve(ring, direction, 80 + copied);
    if (record < 0) continue;
    const to = record >> 2;
    words[to] = passed;
    words[to + 1] = seconds;
    words[to + 2] = nanoseconds;
    words[to + 3] = captured;
    words[to + 4] = length;
    words[to + 5] = verdict;
    words[to + 6] = peer;
    words[to + 7] = table[at + 2]!;
    words[to + 8] = table[at + 3]!;
    words[to + 9] = table[at + 4]!;
    words[to + 10] = table[at + 5]!;
    words[to + 11] = table[at + 9]!;
    words[to + 12] = table[at + 10]!;
    const source = table[at + 8]!;
    if (direction === 0) {
      words[to + 13] = source;
      words[to + 14] = words[to + 15] = words[to + 16] = words[to + 17] = 0;
    } else {
      const from = source * 8;
      words[to + 13] = sources[from + 4]!;
      words[to + 14] = sources[from]!;
      words[to + 15] = sources[from + 1]!;
      words[to + 16] = sources[from + 2]!;
      words[to + 17] = sources[from + 3]!;
    }
    words[to + 18] = lost;
    words[to + 19] = (tookNs << 2) | (offset & 3);
    const first = offset >> 2;
    const end = (copied + 3) >> 2;
    for (let word = 0; word < end; word++) words[to + 20 + word] = slab[first + word]!;
  }
}

/**
 * What a worker calls after each turn: captures the batch of `count` descriptors for every tap that wants it. With all
 * taps off it is one load and one comparison.
 */
export function watchBatch(taps: Taps, count: number, sources: Int32Array): void {
  if (wantedPoints(taps) === 0) return;
  const nowMs = performance.now();
  followClock(taps.origin, nowMs);
  // A tap that came on after the batch was read finds an old time there.
  const elapsed = (nowMs - taps.readAt[0]!) * 1e6;
  const tookNs = elapsed < TOOK_MAX_NS ? elapsed | 0 : 0;
  for (const tap of taps.each) {
    const points = wantedPoints(tap);
    if (points === 0) continue;
    captureBatch(tap, points, count, sources, nowMs, tookNs);
    commit(tap.ring);
  }
}

/** What the bits of RECORD_TURN hold. */
const TOOK_MAX_NS = 2 ** 29;

/** `Date.now()` and the sum of origin and `performance.now()` may differ by less than this, milliseconds. */
const CLOCK_SLACK_MS = 20;

/** Takes the wall clock anew when it was set, or when the machine slept: the monotonic clock knows neither. */
function followClock(origin: Int32Array, nowMs: number): void {
  const wall = Date.now();
  const drift = wall - (origin[0]! * 1000 + origin[1]! / 1e6 + nowMs);
  if (Math.abs(drift) < CLOCK_SLACK_MS) return;
  const start = wall - nowMs;
  origin[0] = Math.floor(start / 1000);
  origin[1] = Math.round((start - origin[0] * 1000) * 1e6);
}
