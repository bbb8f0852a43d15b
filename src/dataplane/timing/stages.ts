/*
 * What the workers have measured of the stages of each direction, in memory that they share with the control thread:
 *
 *   int32    whether stages are timed now; written by the control thread
 *   float64  a block per direction, written by its worker only; all words but the first are sums
 */
const FLAG_BYTES = 64;
/** Words of a block: two cache lines, so that directions do not share one. */
const WORDS = 16;

/** Monotonic nanoseconds of the last batch or wake-up; the clock of each worker begins elsewhere. */
export const AT = 0;
export const BATCHES = 1;
/** Frames from the device; datagrams at ingress. */
export const FRAMES = 2;
/** Packets on the wire, as the `segments` of the worker statistics. */
export const SEGMENTS = 3;
/** System calls that send or write. */
export const CALLS = 4;
/** Nanoseconds in a wait of the kernel. */
export const ASLEEP = 5;
/** Nanoseconds of each stage, from here on. */
export const STAGES = 6;

export const READ = 6;
export const CLASSIFY = 7;
export const SLOW_PATH = 8;
export const SEND = 9;
export const COUNT = 10;

/** Names of the stages in the order of their words, with their meanings. */
export const STAGE_NAMES = ['read', 'classify', 'slow-path', 'send', 'count'] as const;
export type StageName = (typeof STAGE_NAMES)[number];

export function createStageMemory(directions: number): SharedArrayBuffer {
  return new SharedArrayBuffer(FLAG_BYTES + directions * WORDS * Float64Array.BYTES_PER_ELEMENT);
}

export function stageFlag(memory: SharedArrayBuffer): Int32Array {
  return new Int32Array(memory, 0, 1);
}

/** The block of a direction. */
export function stageBlock(memory: SharedArrayBuffer, direction: number): Float64Array {
  const offset = FLAG_BYTES + direction * WORDS * Float64Array.BYTES_PER_ELEMENT;
  return new Float64Array(memory, offset, WORDS);
}
