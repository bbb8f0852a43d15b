import { elementAt } from '../../base/at.ts';
import {
  type Batch,
  DESC_ARRIVED_ECN,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_ERROR,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_PLACES,
  DESC_SEGMENTS,
  DESC_SOCKET,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../descriptor/descriptor.ts';
import { commit, droppedRecords, openProducer, type Ring, reserve } from '../descriptor/ring.ts';
import {
  SOURCE_ADDRESS,
  SOURCE_FLOW_INFO,
  SOURCE_HOP_LIMIT,
  SOURCE_PORT,
  SOURCE_STRIDE,
} from '../descriptor/source.ts';
import { LOST_MASK, OUTER_MASK } from '../descriptor/verdict-masks.ts';
import { FORWARD } from '../descriptor/verdicts.ts';
import { type HeaderRecorder, openHeaderRing, recordHeaders } from './header-recorder.ts';
import { keptSource } from './kept-record.ts';
import { type LossRecorder, openLossRecorder, recordLosses } from './loss-recorder.ts';
import {
  ARRIVED_ECN_SHIFT,
  type BatchTimes,
  DROP,
  EGRESS_INNER,
  EGRESS_OUTER,
  INGRESS_INNER,
  INGRESS_OUTER,
  KIND_EGRESS,
  KIND_INGRESS,
  NOTE_DIRECTION,
  NOTE_LOST_DROPPED,
  NOTE_LOST_FORWARDED,
  RECORD_ADDRESS,
  RECORD_CAPTURED,
  RECORD_CSUM_OFFSET,
  RECORD_CSUM_START,
  RECORD_DECIDED,
  RECORD_ERROR,
  RECORD_FLOW_INFO,
  RECORD_GENERATION,
  RECORD_GSO_SIZE,
  RECORD_HEADER_BYTES,
  RECORD_HOP_LIMIT,
  RECORD_LATENCY_AND_PADDING,
  RECORD_LENGTH,
  RECORD_LOST,
  RECORD_LOST_DROPPED,
  RECORD_LOST_FORWARDED,
  RECORD_NANOSECONDS,
  RECORD_OFFLOAD,
  RECORD_PEER,
  RECORD_POINTS,
  RECORD_PORT,
  RECORD_SECONDS,
  RECORD_SEGMENTS,
  RECORD_VERDICT,
} from './record-layout.ts';
import {
  CONTROL_PEER,
  CONTROL_POINTS,
  CONTROL_SNAP,
  CONTROL_VERDICTS,
  RECORDING,
  tapWords,
} from './tap-control.ts';

/*
 * A worker copies frames for captures here. After it has read a batch it loads one word. While a point is on, it notes the
 * time twice more and then calls `tapBatch`, which copies the frames that the tap's filter selects into a ring. It never waits.
 * The rest of a capture is done by the reader of the ring.
 *
 * After a batch the verdicts are final and the bytes are still in the slab; a frame that was sent whole has its checksum
 * filled in and its offload fields cleared by then.
 */

/** The points that only a forwarded frame passes: the others are dropped, answered, or copied to each peer. */
const LAST_POINTS = EGRESS_OUTER | INGRESS_INNER;
const FIRST_POINTS = EGRESS_INNER | INGRESS_OUTER;

/** Longest time that the record can hold, nanoseconds: half a second. */
const SPAN_MAX_NS = 2 ** 29;
/** Longest time between the readings of the two clocks, ms, and how often they are read for it. */
const CLOCKS_APART_MS = 0.02;
const CLOCK_TRIES = 4;
const RECORD_HEADER_WORDS = RECORD_HEADER_BYTES / 4;

/** What a tap needs of its worker. Constant while the worker runs. */
interface TapOptions {
  readonly control: SharedArrayBuffer;
  /** Of `createTapRing`, by tap. */
  readonly rings: readonly SharedArrayBuffer[];
  /** Memory of the flight recorder; undefined: the losses, or the headers of all frames, cannot be recorded. */
  readonly losses?: SharedArrayBuffer | undefined;
  readonly headers?: SharedArrayBuffer | undefined;
  readonly batch: Batch;
  readonly direction: 'egress' | 'ingress';
  /** Ingress: bytes of the encapsulation header. */
  readonly headerBytes: number;
  /** The wall clock, milliseconds with fractions since 1970-01-01 UTC. */
  readonly wallMs: () => number;
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
  readonly headerBytes: number;
}

/** A worker's side of all taps. */
export interface Taps {
  /** The control block. */
  readonly control: Int32Array;
  readonly points: number;
  readonly wallMs: () => number;
  /** `performance.now()` when the batch was read and when it was decided, and the generation of its tables. */
  readonly batch: Float64Array;
  readonly each: readonly Tap[];
  readonly losses: LossRecorder | undefined;
  readonly headers: HeaderRecorder | undefined;
}

/** Opens a worker's side. */
export function openTaps(options: TapOptions): Taps {
  const { batch } = options;
  const common = {
    table: batch.table,
    slab: new Int32Array(batch.slab.buffer, batch.slab.byteOffset, batch.slab.byteLength >> 2),
    direction: options.direction === 'egress' ? KIND_EGRESS : KIND_INGRESS,
    points:
      options.direction === 'egress'
        ? EGRESS_INNER | EGRESS_OUTER | DROP
        : INGRESS_OUTER | INGRESS_INNER | DROP,
    headerBytes: options.direction === 'egress' ? 0 : options.headerBytes,
  };
  const each = options.rings.map((ring, tap) => ({
    ...common,
    control: tapWords(options.control, tap),
    ring: openProducer(ring),
  }));
  for (const { ring } of each) ring.control[NOTE_DIRECTION] = common.direction;
  const source = keptSource(batch, common.direction, options.headerBytes);
  return {
    control: new Int32Array(options.control),
    points: common.points | (options.headers ? RECORDING : 0),
    wallMs: options.wallMs,
    batch: new Float64Array(3),
    each,
    losses: options.losses && openLossRecorder(options.losses, source),
    headers: options.headers && { ring: openHeaderRing(options.headers), source },
  };
}

/**
 * Points that are on for this worker, at one tap or at any, 0 when nothing is captured or recorded. Once per batch.
 * @hot
 */
export function activePoints(tap: Tap | Taps): number {
  return tap.control[CONTROL_POINTS]! & tap.points;
}

/** Notes when a batch was read; it reads the clock only while a tap is on. @returns whether one is */
export function noteRead(taps: Taps): boolean {
  if (activePoints(taps) === 0) return false;
  taps.batch[0] = performance.now();
  return true;
}

/** Notes when the frames of a batch go to be sent or written, and which tables it used. */
export function noteDecided(taps: Taps, generation: number): void {
  taps.batch[1] = performance.now();
  taps.batch[2] = generation;
}

/**
 * Copies the wanted ones of the descriptors 0..count-1 into the ring; `commit` of `dataplane/descriptor/ring.ts` publishes them once
 * per batch. Records that do not fit are counted by the ring and missing in the capture; traffic is not affected.
 * @param points result of `activePoints`, not 0
 * @param sources source addresses of the batch as in `dataplane/io/interfaces.ts`; not used on egress
 * @hot
 */
export function captureBatch(
  tap: Tap,
  points: number,
  count: number,
  sources: Int32Array,
  times: BatchTimes,
): void {
  const { table, slab, ring, control, direction, headerBytes } = tap;
  const { seconds, nanoseconds, decidedNs, tookNs, generation } = times;
  const words = ring.words;
  const notes = ring.control;
  const lost = droppedRecords(ring) | 0;
  const lostForwarded = notes[NOTE_LOST_FORWARDED]!;
  const lostDropped = notes[NOTE_LOST_DROPPED]!;
  const snap = control[CONTROL_SNAP]!;
  const verdicts = control[CONTROL_VERDICTS]!;
  const onlyPeer = control[CONTROL_PEER]!;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    const verdict = table[at + DESC_VERDICT]!;
    const peer = table[at + DESC_PEER]!;
    if (((verdicts >>> verdict) & 1) === 0 || (onlyPeer !== -1 && peer !== onlyPeer)) continue;
    // Each frame passed its first point. A forwarded one passed the last point too, one that is dropped passed `drop`.
    const isDropped = (LOST_MASK >>> verdict) & 1;
    const passed = points & (verdict === FORWARD ? ~DROP : isDropped === 1 ? ~LAST_POINTS : FIRST_POINTS);
    if (passed === 0) continue;
    const front = ((OUTER_MASK >>> verdict) & 1) === 0 ? headerBytes : 0;
    const offset = table[at + DESC_OFFSET]! - front;
    const length = table[at + DESC_LENGTH]! + front;
    const captured = length < snap ? length : snap;
    const padding = offset & 3;
    const copied = padding + captured;
    const record = reserve(ring, direction, RECORD_HEADER_BYTES + copied);
    if (record < 0) {
      if (verdict === FORWARD) notes[NOTE_LOST_FORWARDED]!++;
      else notes[NOTE_LOST_DROPPED]! += isDropped;
      continue;
    }
    const to = record >> 2;
    words[to + RECORD_POINTS] = passed;
    words[to + RECORD_SECONDS] = seconds;
    words[to + RECORD_NANOSECONDS] = nanoseconds;
    words[to + RECORD_CAPTURED] = captured;
    words[to + RECORD_LENGTH] = length;
    words[to + RECORD_VERDICT] = verdict;
    words[to + RECORD_PEER] = peer;
    words[to + RECORD_OFFLOAD] = table[at + DESC_OFFLOAD]!;
    words[to + RECORD_GSO_SIZE] = table[at + DESC_GSO_SIZE]!;
    words[to + RECORD_CSUM_START] = table[at + DESC_CSUM_START]!;
    words[to + RECORD_CSUM_OFFSET] = table[at + DESC_CSUM_OFFSET]!;
    words[to + RECORD_SEGMENTS] = table[at + DESC_SEGMENTS]!;
    words[to + RECORD_ERROR] = table[at + DESC_ERROR]!;
    const address = to + RECORD_ADDRESS;
    if (direction === KIND_EGRESS) {
      words[to + RECORD_PORT] = table[at + DESC_SOCKET]!;
      words[address] = table[at + DESC_PLACES]!;
      words[address + 1] = words[address + 2] = words[address + 3] = 0;
      words[to + RECORD_HOP_LIMIT] = words[to + RECORD_FLOW_INFO] = 0;
    } else {
      const source = table[at + DESC_SOURCE]! * SOURCE_STRIDE;
      words[to + RECORD_PORT] = sources[source + SOURCE_PORT]!;
      words[address] = sources[source + SOURCE_ADDRESS]!;
      words[address + 1] = sources[source + SOURCE_ADDRESS + 1]!;
      words[address + 2] = sources[source + SOURCE_ADDRESS + 2]!;
      words[address + 3] = sources[source + SOURCE_ADDRESS + 3]!;
      words[to + RECORD_HOP_LIMIT] = sources[source + SOURCE_HOP_LIMIT]!;
      words[to + RECORD_FLOW_INFO] =
        sources[source + SOURCE_FLOW_INFO]! | (table[at + DESC_ARRIVED_ECN]! << ARRIVED_ECN_SHIFT);
    }
    words[to + RECORD_LOST] = lost;
    words[to + RECORD_LATENCY_AND_PADDING] = (tookNs << 2) | padding;
    words[to + RECORD_DECIDED] = decidedNs;
    words[to + RECORD_GENERATION] = generation;
    words[to + RECORD_LOST_FORWARDED] = lostForwarded;
    words[to + RECORD_LOST_DROPPED] = lostDropped;
    const bytes = to + RECORD_HEADER_WORDS;
    const first = offset >> 2;
    const end = (copied + 3) >> 2;
    for (let word = 0; word < end; word++) words[bytes + word] = slab[first + word]!;
  }
}

/** Captures and records a batch, of which `noteRead` returned true, for every tap that is on. */
export function tapBatch(taps: Taps, count: number, sources: Int32Array): void {
  const times = batchTimes(taps, true);
  for (const tap of taps.each) {
    const points = activePoints(tap);
    if (points === 0) continue;
    captureBatch(tap, points, count, sources, times);
    commit(tap.ring);
  }
  const { headers } = taps;
  if (headers && (elementAt(taps.control, 0) & RECORDING) !== 0)
    recordHeaders(headers, count, sources, times);
}

/**
 * Records the lost frames of a batch.
 * @param generation of its tables
 * @param isTimed `noteRead` returned true for the batch
 */
export function recordLostFrames(
  taps: Taps,
  count: number,
  sources: Int32Array,
  generation: number,
  isTimed: boolean,
): void {
  taps.batch[2] = generation;
  if (taps.losses) recordLosses(taps.losses, count, sources, batchTimes(taps, isTimed));
}

function batchTimes({ batch, wallMs }: Taps, isTimed: boolean): BatchTimes {
  let doneAt = 0;
  let wall = 0;
  // The wall clock is read each time: it is set and corrected while the process runs, the other one is not. A thread that
  // lost the processor between the two readings would shift all points of the batch, so they are read again.
  for (let tries = 0; tries < CLOCK_TRIES; tries++) {
    doneAt = performance.now();
    wall = wallMs();
    if (performance.now() - doneAt < CLOCKS_APART_MS) break;
  }
  const readAt = elementAt(batch, 0);
  const seconds = Math.floor(wall / 1000);
  return {
    seconds,
    nanoseconds: Math.floor((wall - seconds * 1000) * 1e6),
    decidedNs: isTimed ? spanNs(readAt, elementAt(batch, 1)) : 0,
    tookNs: isTimed ? spanNs(readAt, doneAt) : 0,
    generation: elementAt(batch, 2),
  };
}

function spanNs(fromMs: number, toMs: number): number {
  const ns = Math.floor((toMs - fromMs) * 1e6);
  return ns < SPAN_MAX_NS ? ns : 0;
}
