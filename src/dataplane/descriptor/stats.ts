/*
 * What the native side counts of a worker's sends and writes, as int32 indices. The native calls only add; the worker
 * moves the sums to its counters after each batch.
 */

/** System calls. */
export const STAT_CALLS = 0;
/** Messages sent or device writes made. */
export const STAT_UNITS = 1;
/** Datagrams that shared a message, or frames that shared a write. */
export const STAT_MERGED = 2;
/** Offloaded units that the kernel refused and that went out one by one. */
export const STAT_FALLBACKS = 3;
export const STAT_COUNT = 4;

/** The statistics of one worker, all zero. */
export function createStats(): Int32Array {
  return new Int32Array(STAT_COUNT);
}
