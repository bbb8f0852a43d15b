import type { DestinationStream } from 'pino';
import { logText } from './stream.ts';

/** Most lines and characters that are kept. */
const LINES_MAX = 2000;
const KEPT_MAX = 512 << 10;

/** Hands the lines of a log on, and keeps the last ones for a report. */
export class RecentLines implements DestinationStream {
  readonly #kept: string[] = [];
  #size = 0;
  readonly #out: DestinationStream;
  /** pino flushes a line of level fatal. */
  readonly flushSync: () => void;

  constructor(out: DestinationStream & { flushSync(): void }) {
    this.#out = out;
    this.flushSync = () => out.flushSync();
  }

  write(line: string): void {
    this.#out.write(line);
    this.#kept.push(line);
    this.#size += line.length;
    while (this.#kept.length > LINES_MAX || this.#size > KEPT_MAX)
      this.#size -= this.#kept.shift()?.length ?? 0;
  }

  /** As text, the oldest first. */
  get lines(): string[] {
    return this.#kept.map(line => logText(line).trimEnd());
  }
}
