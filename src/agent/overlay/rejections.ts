import type { Log } from '../../base/log.ts';
import { LogBudget } from '../../base/logging/budget.ts';
import { isContradiction, type RejectedLease } from '../lease/rejected-lease.ts';

/** Rejected leases that are logged per minute. */
const LOGGED_PER_MINUTE = 20;

/** The leases that a network rejects. Each is logged once, and a flood of them is counted. */
export class Rejections {
  readonly #log: Log;
  readonly #budget: LogBudget;
  #all: readonly RejectedLease[] = [];
  /** Keys of the leases that contradict this node's or a peer's. */
  refused: ReadonlySet<string> = new Set();

  constructor(log: Log) {
    this.#log = log;
    this.#budget = new LogBudget(LOGGED_PER_MINUTE, count =>
      log.warn(`ignoring ${count} more leases; \`ripstop status\` has all of them`),
    );
  }

  get all(): readonly RejectedLease[] {
    return this.#all;
  }

  /** Takes all rejected leases, in which several overlays may have the same one. @returns those that are new */
  note(rejections: readonly RejectedLease[]): RejectedLease[] {
    const logged = new Set(this.#all.map(textOf));
    this.#all = [...new Map(rejections.map(rejection => [textOf(rejection), rejection])).values()];
    const news = this.#all.filter(rejection => !logged.has(textOf(rejection)));
    for (const { key, reason, message } of news)
      if (this.#budget.take()) this.#log.warn({ lease: key, reason }, `ignoring lease: it ${message}`);
    this.refused = new Set(this.#all.filter(isContradiction).map(({ key }) => key));
    return news;
  }
}

/** The lease of a peer that the tables or the kernel refused. */
export function refusedByKernel(key: string, message: string): RejectedLease {
  return { key, reason: 'refused', message: `cannot be a peer: ${message}` };
}

function textOf({ key, message }: RejectedLease): string {
  return `${key} ${message}`;
}
