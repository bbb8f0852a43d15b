import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reportContained } from '../base/boundary.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { nullable, number, readJson, record, string, type ValueOf } from '../base/schema.ts';
import { stackOf } from '../base/uncaught.ts';

/** Name of the record inside the state directory. */
export const UNCAUGHT_NAME = 'uncaught.json';

/** The last error that ended an agent on this node; `at` is an ISO time. */
const lastUncaught = record({ at: string, message: string });

export type LastUncaught = ValueOf<typeof lastUncaught>;

const RECORD = record({ count: number, last: nullable(lastUncaught) });

/** Longest recorded message, characters. */
const MESSAGE_MAX = 500;
/** Most messages that are logged with their stack, for all parts together. */
const LOGGED_MAX = 100;

/**
 * Uncaught errors, which end the agent. Their count is in the state directory, because the process ends with each of them.
 */
export class UncaughtRecord {
  readonly #path: string;
  #count = 0;
  #last: LastUncaught | null = null;

  constructor(stateDir: string) {
    this.#path = join(stateDir, UNCAUGHT_NAME);
    try {
      const { count, last } = readJson(RECORD, readFileSync(this.#path, 'utf8'), this.#path);
      this.#count = count;
      this.#last = last;
    } catch {
      // No error so far (ENOENT), or the record is damaged: the count starts at 0.
    }
  }

  /** Errors of all runs of the agent since the state directory was made. */
  get count(): number {
    return this.#count;
  }

  get last(): LastUncaught | null {
    return this.#last;
  }

  /** Logs and records one. Synchronous: the process may end at any moment. */
  add(error: unknown, origin: string, log: Log): void {
    this.#count++;
    this.#last = { at: new Date().toISOString(), message: describeError(error).slice(0, MESSAGE_MAX) };
    log.fatal(
      { origin, stack: stackOf(error) },
      `uncaught error, ending for a restart: ${this.#last.message}`,
    );
    writeFileSync(this.#path, `${JSON.stringify({ count: this.#count, last: this.#last })}\n`, {
      mode: 0o600,
    });
  }
}

/** Logs each distinct error of listeners and side services once; all are counted. */
export function logContained(log: Log): void {
  const logged = new Set<string>();
  reportContained((part, error) => {
    const message = describeError(error);
    const key = `${part} ${message}`;
    if (logged.has(key) || logged.size >= LOGGED_MAX) return;
    logged.add(key);
    log.error(
      { part, stack: stackOf(error) },
      `error in a side service, packets are not affected: ${message}`,
    );
  });
}
