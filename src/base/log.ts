import { type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * Structured log on standard error, one JSON object a line; standard output stays free for results.
 * @param level pino level name: `trace` to `fatal`, or `silent`
 */
export function createLog(level = 'info'): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
