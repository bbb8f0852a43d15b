import { fstatSync } from 'node:fs';
import { type DestinationStream, pino } from 'pino';
import { anyValue, mapOf, readJson } from '../schema.ts';

/** Lines that wait while standard error takes none. */
const KEPT_BYTES = 1 << 20;
/** Fields that a line of text shows before the message. */
const HEAD = new Set(['level', 'time', 'component', 'msg']);

/** Standard error as JSON, one object per line, or as text. @param format `text`, `json` or `auto` */
export function logStream(format: string): DestinationStream {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: KEPT_BYTES });
  // The process does not end when the log cannot be written (a full disk): lines wait, and the newest are lost.
  destination.on('error', () => {});
  const asText = format === 'text' || (format === 'auto' && isReadByPeople());
  return asText ? { write: line => destination.write(logText(line)) } : destination;
}

/** True where a terminal or the journal reads standard error: systemd names its stream in JOURNAL_STREAM (systemd.exec(5)). */
function isReadByPeople(): boolean {
  if (process.stderr.isTTY) return true;
  const { dev, ino } = fstatSync(2);
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

/** `2026-11-29T21:54:00.000Z WARN  store: lease store unreachable (endpoint=…)` of one line of JSON. */
export function logText(line: string): string {
  const entry = readJson(mapOf(anyValue()), line, 'log line');
  const { level, time, component, msg } = entry;
  const fields = Object.entries(entry).flatMap(([name, value]) =>
    HEAD.has(name) ? [] : [`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`],
  );
  const head = `${time} ${String(level).toUpperCase().padEnd(5)} ${component ? `${component}: ` : ''}${msg ?? ''}`;
  return `${head}${fields.length > 0 ? ` (${fields.join(' ')})` : ''}\n`;
}
