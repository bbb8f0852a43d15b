import { KEPT_WORDS, type KeptSource, writeKept } from './kept-record.ts';
import {
  createKeptRing,
  type KeptRing,
  keptRingBytes,
  nextKept,
  openKeptRing,
  publishKept,
} from './kept-ring.ts';
import type { BatchTimes } from './record-layout.ts';

/** A worker keeps the headers of its last frames here, as long as the recorder of all headers is on. */
export interface HeaderRecorder {
  readonly ring: KeptRing;
  readonly source: KeptSource;
}

/** Memory for the headers of one worker, at most `bytes`. The kernel allocates its pages when they are written first. */
export function createHeaderMemory(bytes: number): SharedArrayBuffer {
  const capacity = Math.max(4, Math.floor((bytes - keptRingBytes(0, KEPT_WORDS)) / (4 * KEPT_WORDS)));
  const memory = new SharedArrayBuffer(keptRingBytes(capacity, KEPT_WORDS));
  createKeptRing(memory, 0, capacity);
  return memory;
}

/** The ring, as either side sees it. */
export function openHeaderRing(memory: SharedArrayBuffer): KeptRing {
  return openKeptRing(memory, 0, KEPT_WORDS);
}

/**
 * Records all frames of a batch.
 * @param sources source addresses of the batch; not used on egress
 * @hot
 */
export function recordHeaders(
  recorder: HeaderRecorder,
  count: number,
  sources: Int32Array,
  times: BatchTimes,
): void {
  const { ring, source } = recorder;
  for (let i = 0; i < count; i++) writeKept(ring.words, nextKept(ring), source, i, sources, times);
  publishKept(ring);
}
