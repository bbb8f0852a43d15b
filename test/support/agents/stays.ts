import type { Test } from 'tap';

/** How long a state is watched, in milliseconds. A busy machine gets fewer looks at it, not a failure. */
const WATCH_MS = 500;
const EVERY_MS = 20;

/**
 * Asserts that a state stays as it is, for what cannot be waited for: that something does not happen. Where a condition
 * shows that the cause has been worked on (a log line, a counter), wait for that with `until` first.
 * @param probe what is compared with `expected`, again and again
 */
export async function stays<T>(
  t: Pick<Test, 'same'>,
  what: string,
  probe: () => T | Promise<T>,
  expected: T,
  watchMs = WATCH_MS,
): Promise<void> {
  const end = performance.now() + watchMs;
  let seen = await probe();
  while (JSON.stringify(seen) === JSON.stringify(expected) && performance.now() < end) {
    await new Promise(resolve => setTimeout(resolve, EVERY_MS));
    seen = await probe();
  }
  t.same(seen, expected, what);
}
