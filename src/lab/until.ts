import { RipstopError } from '../base/errors.ts';

/** How long a wait lasts unless its caller says otherwise: no machine is so busy that this is too short. */
export const PATIENCE_MS = 120_000;

/**
 * Waits for a condition instead of a time: asks `probe` again and again until it gives something truthy.
 * @param what the condition in words, for the error
 * @param probe may throw while the condition is not yet there; its last error is quoted on a time-out. An ECHILD ends
 *   the wait at once: what has ended will not fulfil anything
 * @returns what `probe` gave
 * @throws RipstopError ETIMEDOUT or ECHILD
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = PATIENCE_MS,
  everyMs = 20,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = undefined;
    } catch (error) {
      if (error instanceof RipstopError && error.code === 'ECHILD') throw error;
      last = error;
    }
    if (performance.now() >= deadline) {
      const options = last === undefined ? {} : { cause: last };
      throw new RipstopError(
        'ETIMEDOUT',
        `waited ${timeoutMs} ms in vain for ${what}${last ? `: ${last}` : ''}`,
        undefined,
        options,
      );
    }
    await new Promise(resolve => setTimeout(resolve, everyMs));
  }
}
