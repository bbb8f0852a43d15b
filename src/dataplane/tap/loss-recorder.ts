import { elementAt } from '../../base/at.ts';
import { DESC_PEER, DESC_STRIDE, DESC_VERDICT } from '../descriptor/descriptor.ts';
import { LOST_MASK, verdictMask } from '../descriptor/verdict-masks.ts';
import { DROP_VERDICTS, MULTICAST, TOO_BIG, VERDICTS } from '../descriptor/verdicts.ts';
import { KEPT_NUMBER, KEPT_WORDS, type KeptSource, writeKept } from './kept-record.ts';
import {
  createKeptRing,
  type KeptRing,
  keptRingBytes,
  nextKept,
  openKeptRing,
  publishKept,
} from './kept-ring.ts';
import type { BatchTimes } from './record-layout.ts';

/*
 * A worker keeps the headers of the frames that it loses here. Each verdict has a ring of its own, so that a flood of one
 * reason does not push out the others. In a flood every n-th frame of a verdict is kept: n doubles after KEPT_PER_STEP
 * frames within a second, and a second begins with the n that the second before would have needed. Of every verdict
 *
 *   kept + skipped = lost
 *
 * and a record has the number of its frame among the lost ones.
 *
 * Shared memory of a worker: counts by verdict { kept, skipped, n }, lost frames by peer slot, one ring per verdict.
 */

/** Records of one verdict: those of several seconds in a flood. The control thread takes them more often. */
const RING_RECORDS = 128;
/** Frames of a verdict that are kept within a second before n doubles. */
const KEPT_PER_STEP = 8;
/** Of one batch at most so many are kept: fewer than the ring has. */
const KEPT_PER_BATCH = 32;
/** Largest n. */
const EVERY_MAX = 1 << 24;
/** Peer slots (`MAX_PEERS` of the tables); their pages become resident when a frame of that peer is lost. */
const SLOTS = 65_536;

const COUNT_WORDS = 3;
const KEPT = 0;
const SKIPPED = 1;
const EVERY = 2;
const COUNTS_BYTES = 1024;
const SLOTS_BYTES = 4 * SLOTS;
const RING_BYTES = keptRingBytes(RING_RECORDS, KEPT_WORDS);

/** Bit n: frames with verdict n are lost in normal operation: announcements, and path MTU discovery. */
const NORMAL_MASK = verdictMask([MULTICAST, TOO_BIG]);

/** Memory of one worker's losses. */
export function createLossMemory(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(COUNTS_BYTES + SLOTS_BYTES + VERDICTS.length * RING_BYTES);
  for (const verdict of VERDICTS.keys()) createKeptRing(memory, ringOffset(verdict), RING_RECORDS);
  return memory;
}

function ringOffset(verdict: number): number {
  return COUNTS_BYTES + SLOTS_BYTES + verdict * RING_BYTES;
}

/** The losses of a worker as either side sees them. */
export interface LossMemory {
  /** By verdict: KEPT, SKIPPED, EVERY. Written by the worker, loaded by any thread; modulo 2^32. */
  readonly counts: Int32Array;
  /** Lost frames by peer slot, without those of NORMAL_MASK, modulo 2^32. */
  readonly peers: Int32Array;
  /** By verdict. */
  readonly rings: readonly KeptRing[];
}

export function openLossMemory(memory: SharedArrayBuffer): LossMemory {
  return {
    counts: new Int32Array(memory, 0, COUNTS_BYTES / 4),
    peers: new Int32Array(memory, COUNTS_BYTES, SLOTS),
    rings: VERDICTS.map((_, verdict) => openKeptRing(memory, ringOffset(verdict), KEPT_WORDS)),
  };
}

/** What was lost with one verdict. */
export interface LossCounts {
  /** Frames of which the headers were recorded, modulo 2^32. */
  readonly kept: number;
  /** Frames of which they were not, modulo 2^32. */
  readonly skipped: number;
  /** Every n-th frame is recorded at present. */
  readonly every: number;
}

/** Counts of one verdict. */
export function lossCounts({ counts }: LossMemory, verdict: number): LossCounts {
  const at = verdict * COUNT_WORDS;
  return {
    kept: Atomics.load(counts, at + KEPT) >>> 0,
    skipped: Atomics.load(counts, at + SKIPPED) >>> 0,
    every: Math.max(1, Atomics.load(counts, at + EVERY)),
  };
}

/** A worker's side. Arrays are by verdict. */
export interface LossRecorder extends LossMemory {
  readonly source: KeptSource;
  /** Frames until the next one is kept. */
  readonly left: Int32Array;
  /** Frames lost in this second, kept since n doubled last, kept in this batch. */
  readonly lost: Int32Array;
  readonly step: Int32Array;
  readonly batch: Int32Array;
  second: number;
}

export function openLossRecorder(memory: SharedArrayBuffer, source: KeptSource): LossRecorder {
  const numbers = () => new Int32Array(VERDICTS.length);
  return {
    ...openLossMemory(memory),
    source,
    ...{ left: numbers(), lost: numbers(), step: numbers(), batch: numbers() },
    second: 0,
  };
}

/**
 * Records the lost frames of a batch that has some.
 * @param sources source addresses of the batch; not used on egress
 */
export function recordLosses(
  recorder: LossRecorder,
  count: number,
  sources: Int32Array,
  times: BatchTimes,
): void {
  if (times.seconds !== recorder.second) beginSecond(recorder, times.seconds);
  recorder.batch.fill(0);
  recordLostFrames(recorder, count, sources, times);
  for (const verdict of DROP_VERDICTS)
    if (recorder.batch[verdict] !== 0) publishKept(elementAt(recorder.rings, verdict));
}

/** Sets n of each verdict by what was lost in the second before. */
function beginSecond(recorder: LossRecorder, second: number): void {
  const { counts, left, lost, step } = recorder;
  const follows = second === recorder.second + 1;
  recorder.second = second;
  for (const verdict of DROP_VERDICTS) {
    const frames = follows ? elementAt(lost, verdict) : 0;
    let every = 1;
    while (every * KEPT_PER_STEP < frames && every < EVERY_MAX) every *= 2;
    counts[verdict * COUNT_WORDS + EVERY] = every;
    left[verdict] = Math.min(elementAt(left, verdict), every - 1);
    lost[verdict] = 0;
    step[verdict] = 0;
  }
}

/** @hot */
function recordLostFrames(
  recorder: LossRecorder,
  count: number,
  sources: Int32Array,
  times: BatchTimes,
): void {
  const { source, counts, peers, rings, left, lost, step, batch } = recorder;
  const table = source.table;
  for (let i = 0; i < count; i++) {
    const at = i * DESC_STRIDE;
    const verdict = table[at + DESC_VERDICT]!;
    if (((LOST_MASK >>> verdict) & 1) === 0) continue;
    const peer = table[at + DESC_PEER]!;
    if (peer >= 0 && ((NORMAL_MASK >>> verdict) & 1) === 0) peers[peer]!++;
    lost[verdict]!++;
    const number = verdict * COUNT_WORDS;
    if (left[verdict]! > 0 || batch[verdict]! === KEPT_PER_BATCH) {
      if (left[verdict]! > 0) left[verdict]!--;
      counts[number + SKIPPED]!++;
      continue;
    }
    const ring = rings[verdict]!;
    const to = nextKept(ring);
    writeKept(ring.words, to, source, i, sources, times);
    batch[verdict]!++;
    counts[number + KEPT]!++;
    ring.words[to + KEPT_NUMBER] = counts[number + KEPT]! + counts[number + SKIPPED]!;
    if (++step[verdict]! === KEPT_PER_STEP) {
      step[verdict] = 0;
      if (counts[number + EVERY]! < EVERY_MAX) counts[number + EVERY] = counts[number + EVERY]! * 2;
    }
    left[verdict] = counts[number + EVERY]! - 1;
  }
}
