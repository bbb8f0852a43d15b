import { native } from '../../native/load.ts';

/** The wall clock: milliseconds since 1970-01-01 UTC, with fractions; the clock of captured frames and of the kernel's stamps. */
export function wallMs(): number {
  return native.wallClock();
}
