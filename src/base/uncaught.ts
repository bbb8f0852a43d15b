/** EX_SOFTWARE of sysexits(3): the process ended because of an error that nothing had handled. */
const UNCAUGHT_EXIT_CODE = 70;

/** How long the orderly end may take, ms; less than the manifest's terminationGracePeriodSeconds. */
const DEADLINE_MS = 8000;
/** Errors that are reported while the process ends: a timer may throw again and again. */
const REPORTED_MAX = 10;

/**
 * Ends the process in order, with `UNCAUGHT_EXIT_CODE`, on an error that nothing has handled (a rejected promise
 * counts as one). What is in memory may be wrong after it, so the process is not continued: systemd or the kubelet starts
 * it again. Worker threads are not concerned: their errors reach `Worker`'s `error` event.
 * @param report logs and records the error; what it throws is ignored
 * @param end begins the end that a signal would begin
 */
export function endWhenUncaught(report: (error: unknown, origin: string) => void, end: () => void): void {
  let seen = 0;
  process.on('uncaughtException', (error: unknown, origin) => {
    if (++seen > REPORTED_MAX) return;
    try {
      report(error, origin);
    } catch {
      // Nothing is left to report it with.
    }
    if (seen > 1) return;
    process.exitCode = UNCAUGHT_EXIT_CODE;
    setTimeout(() => process.exit(UNCAUGHT_EXIT_CODE), DEADLINE_MS).unref();
    try {
      end();
    } catch {
      process.exit(UNCAUGHT_EXIT_CODE);
    }
  });
}

/** The stack of an error where it has one, else its text. */
export function stackOf(error: unknown): string {
  return (error instanceof Error && error.stack) || String(error);
}
