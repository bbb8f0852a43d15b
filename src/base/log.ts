import { type Logger, pino } from 'pino';

export type Log = Logger;

/** Lines that wait while standard error takes none. */
const KEPT_BYTES = 1 << 20;

/**
 * Structured log on standard error, one JSON object per line; standard output stays free for results.
 * @param level pino level name: `trace` to `fatal`, or `silent`
 */
export function createLog(level = 'info'): Log {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: KEPT_BYTES });
  // A log that cannot be written (a full disk) is no reason to end: lines wait, and the newest are lost.
  destination.on('error', () => {});
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    destination,
  );
}
