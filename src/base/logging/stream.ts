import { fstatSync } from 'node:fs';
import { type DestinationStream, pino } from 'pino';
import { anyValue, mapOf, readJson } from '../schema.ts';
import { printable, printableJson } from '../text/printable.ts';

/** Lines that wait while standard error takes none. */
const KEPT_BYTES = 1 << 20;
/** A value that needs no quotes. */
const PLAIN = /^[^\s"()]+$/;

/** Standard error as JSON, one object per line, or as text. @param format `text`, `json` or `auto` */
export function logStream(format: string): DestinationStream & { flushSync(): void } {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: KEPT_BYTES });
  // The process does not end when the log cannot be written (a full disk): lines wait, and the newest are lost.
  destination.on('error', () => {});
  const asText = format === 'text' || (format === 'auto' && isReadByPeople());
  const write = asText
    ? (line: string) => destination.write(logText(line))
    : (line: string) => destination.write(printableJson(line));
  // pino flushes a line of level fatal.
  return Object.assign({ write }, { flushSync: () => destination.flushSync() });
}

/** True where a terminal or the journal reads standard error: systemd names its stream in JOURNAL_STREAM (systemd.exec(5)). */
function isReadByPeople(): boolean {
  if (process.stderr.isTTY) return true;
  const { dev, ino } = fstatSync(2);
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

/**
 * `2026-11-29T21:54:00.000Z WARN  store: lease store unreachable (endpoint=…)` of one line of JSON. A value cannot begin
 * another line or move the cursor of a terminal: control characters are escaped as in JSON.
 */
export function logText(line: string): string {
  const { level, time, component, msg, ...fields } = readJson(mapOf(anyValue()), line, 'log line');
  const shown = Object.entries(fields).map(([name, value]) =>
    typeof value === 'string' && PLAIN.test(value) ? `${name}=${value}` : `${name}=${JSON.stringify(value)}`,
  );
  const head = `${time} ${String(level).toUpperCase().padEnd(5)} ${component ? `${component}: ` : ''}${msg ?? ''}`;
  return `${printable(`${head}${shown.length > 0 ? ` (${shown.join(' ')})` : ''}`)}\n`;
}
