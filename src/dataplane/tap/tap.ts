import { elementAt } from '../../base/at.ts';
import {
  type Batch,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_ERROR,
  DESC_GSO_SIZE,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SEGMENTS,
  DESC_SOCKET,
  DESC_SOURCE,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../descriptor/descriptor.ts';
import { commit, droppedRecords, openProducer, type Ring, reserve } from '../descriptor/ring.ts';
import { SOURCE_ADDRESS, SOURCE_PORT, SOURCE_STRIDE } from '../descriptor/source.ts';
import { DROP_VERDICTS, OUTER_VERDICTS } from '../descriptor/verdicts.ts';
import {
  DROP,
  EGRESS_INNER,
  EGRESS_OUTER,
  INGRESS_INNER,
  INGRESS_OUTER,
  KIND_EGRESS,
  KIND_INGRESS,
  RECORD_ADDRESS,
  RECORD_CAPTURED,
  RECORD_CSUM_OFFSET,
  RECORD_CSUM_START,
  RECORD_ERROR,
  RECORD_GSO_SIZE,
  RECORD_HEADER_BYTES,
  RECORD_LATENCY_AND_PADDING,
  RECORD_LENGTH,
  RECORD_LOST,
  RECORD_NANOSECONDS,
  RECORD_OFFLOAD,
  RECORD_PEER,
  RECORD_POINTS,
  RECORD_PORT,
  RECORD_SECONDS,
  RECORD_SEGMENTS,
  RECORD_VERDICT,
} from './record-layout.ts';
import { CONTROL_PEER, CONTROL_POINTS, CONTROL_SNAP, CONTROL_VERDICTS, tapWords } from './tap-control.ts';

/*
 * A worker copies frames for captures here. After each batch it calls `tapBatch`, which reads one word and, while a point is
 * on, copies the frames that the tap's filter selects into a ring. It never waits. The rest of a capture is done by the
 * reader of the ring.
 *
 * After a batch the verdicts are final and the bytes are still in the slab; a frame that was sent whole has its checksum
 * filled in and its offload fields cleared by then.
 */

/** Bit n: the frame is lost with verdict n. */
const DROP_MASK = maskOf(DROP_VERDICTS);
/** Bit n: verdict n leaves DESC_OFFSET on the datagram, before its encapsulation header. */
const OUTER_MASK = maskOf(OUTER_VERDICTS);
/** The points that a lost frame does not pass. */
const LAST_POINTS = EGRESS_OUTER | INGRESS_INNER;
const RECORD_HEADER_WORDS = RECORD_HEADER_BYTES / 4;

function maskOf(verdicts: readonly number[]): number {
  return verdicts.reduce((mask, verdict) => mask | (1 << verdict), 0);
}

/** What a tap needs of its worker. Constant while the worker runs. */
interface TapOptions {
  readonly control: SharedArrayBuffer;
  /** Of `createTapRing`, by tap. */
  readonly rings: readonly SharedArrayBuffer[];
  readonly batch: Batch;
  readonly direction: 'egress' | 'ingress';
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
  /** `performance.now()` when the batch was read: see `noteRead`. */
  readonly readAt: Float64Array;
  readonly each: readonly Tap[];
}

/** Opens a worker's side. Call it in the worker: the time stamps are based on its `performance.now()`. */
export function openTaps(options: TapOptions): Taps {
  const { batch } = options;
  const seconds = Math.floor(performance.timeOrigin / 1000);
  const common = {
    table: batch.table,
    slab: new Int32Array(batch.slab.buffer, batch.slab.byteOffset, batch.slab.byteLength >> 2),
    direction: options.direction === 'egress' ? KIND_EGRESS : KIND_INGRESS,
    points:
      options.direction === 'egress'
        ? EGRESS_INNER | EGRESS_OUTER | DROP
        : INGRESS_OUTER | INGRESS_INNER | DROP,
    headerBytes: options.direction === 'egress' ? 0 : options.headerBytes,
    origin: Int32Array.of(seconds, Math.round((performance.timeOrigin - seconds * 1000) * 1e6)),
  };
  const { points, origin } = common;
  const each = options.rings.map((ring, tap) => ({
    ...common,
    control: tapWords(options.control, tap),
    ring: openProducer(ring),
  }));
  const readAt = new Float64Array(1);
  return { control: new Int32Array(options.control), points, origin, readAt, each };
}

/**
 * Points that are on for this worker, at one tap or at any, 0 when nothing is captured. Once per batch.
 * @hot
 */
export function activePoints(tap: Tap | Taps): number {
  return tap.control[CONTROL_POINTS]! & tap.points;
}

/**
 * Notes when a batch was read, for the latency in the records. Once per batch, right after the read; it reads the clock
 * only while a tap is on.
 */
export function noteRead(taps: Taps): void {
  if (activePoints(taps) !== 0) taps.readAt[0] = performance.now();
}

/**
 * Copies the wanted ones of the descriptors 0..count-1 into the ring; `commit` of `dataplane/descriptor/ring.ts` publishes them once
 * per batch. Records that do not fit are counted by the ring and missing in the capture; traffic is not affected.
 * @param points result of `activePoints`, not 0
 * @param sources source addresses of the batch as in `dataplane/io/interfaces.ts`; not used on egress
 * @param nowMs `performance.now()` of the batch
 * @param latencyNs nanoseconds since it was read, below 2^29
 * @hot
 */
export function captureBatch(
  tap: Tap,
  points: number,
  count: number,
  sources: Int32Array,
  nowMs: number,
  latencyNs: number,
): void {
  const { table, slab, ring, control, origin, direction, headerBytes } = tap;
  const words = ring.words;
  const lost = droppedRecords(ring) | 0;
  const snap = control[CONTROL_SNAP]!;
  const verdicts = control[CONTROL_VERDICTS]!;
  const onlyPeer = control[CONTROL_PEER]!;
  const elapsed = origin[1]! + nowMs * 1e6;
  const carried = Math.floor(elapsed / 1e9);
  const seconds = (origin[0]! + carried) | 0;
  const nanoseconds = (elapsed - carried * 1e9) | 0;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    const verdict = table[at + DESC_VERDICT]!;
    const peer = table[at + DESC_PEER]!;
    if (((verdicts >>> verdict) & 1) === 0 || (onlyPeer !== -1 && peer !== onlyPeer)) continue;
    // A lost frame passed its first point and `drop`, not the last one; other frames never pass `drop`.
    const passed = points & (((DROP_MASK >>> verdict) & 1) === 0 ? ~DROP : ~LAST_POINTS);
    if (passed === 0) continue;
    const front = ((OUTER_MASK >>> verdict) & 1) === 0 ? headerBytes : 0;
    const offset = table[at + DESC_OFFSET]! - front;
    const length = table[at + DESC_LENGTH]! + front;
    const captured = length < snap ? length : snap;
    const padding = offset & 3;
    const copied = padding + captured;
    const record = reserve(ring, direction, RECORD_HEADER_BYTES + copied);
    if (record < 0) continue;
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
      words[address] = words[address + 1] = words[address + 2] = words[address + 3] = 0;
    } else {
      const source = table[at + DESC_SOURCE]! * SOURCE_STRIDE;
      words[to + RECORD_PORT] = sources[source + SOURCE_PORT]!;
      words[address] = sources[source + SOURCE_ADDRESS]!;
      words[address + 1] = sources[source + SOURCE_ADDRESS + 1]!;
      words[address + 2] = sources[source + SOURCE_ADDRESS + 2]!;
      words[address + 3] = sources[source + SOURCE_ADDRESS + 3]!;
    }
    words[to + RECORD_LOST] = lost;
    words[to + RECORD_LATENCY_AND_PADDING] = (latencyNs << 2) | padding;
    const bytes = to + RECORD_HEADER_WORDS;
    const first = offset >> 2;
    const end = (copied + 3) >> 2;
    for (let word = 0; word < end; word++) words[bytes + word] = slab[first + word]!;
  }
}

/** Captures the batch of `count` descriptors for every tap that is on. With all taps off it is one load and one comparison. */
export function tapBatch(taps: Taps, count: number, sources: Int32Array): void {
  if (activePoints(taps) === 0) return;
  const nowMs = performance.now();
  followClock(taps.origin, nowMs);
  // A tap that came on after the batch was read finds an old time there.
  const elapsed = (nowMs - elementAt(taps.readAt, 0)) * 1e6;
  const latencyNs = elapsed < LATENCY_MAX_NS ? elapsed | 0 : 0;
  for (const tap of taps.each) {
    const points = activePoints(tap);
    if (points === 0) continue;
    captureBatch(tap, points, count, sources, nowMs, latencyNs);
    commit(tap.ring);
  }
}

/** Largest latency that the bits of RECORD_LATENCY_AND_PADDING hold, nanoseconds. */
const LATENCY_MAX_NS = 2 ** 29;

/** `Date.now()` and the sum of origin and `performance.now()` may differ by less than this, milliseconds. */
const CLOCK_SLACK_MS = 20;

/** Follows the wall clock when it was set or the machine was suspended; the monotonic clock shows neither. */
function followClock(origin: Int32Array, nowMs: number): void {
  const wall = Date.now();
  const drift = wall - (elementAt(origin, 0) * 1000 + elementAt(origin, 1) / 1e6 + nowMs);
  if (Math.abs(drift) < CLOCK_SLACK_MS) return;
  const start = wall - nowMs;
  origin[0] = Math.floor(start / 1000);
  origin[1] = Math.round((start - origin[0] * 1000) * 1e6);
}
