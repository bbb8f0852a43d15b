import { contain } from '../../base/boundary.ts';
import type { CounterSnapshot } from '../../dataplane/dataplane.ts';
import { VERDICTS } from '../../dataplane/dataplane.ts';
import type { Sample } from './messages.ts';

/** Length of a step and number of steps kept: ten minutes. */
export const STEP_MS = 2000;
const STEPS = 300;

const DROPS = VERDICTS.filter(({ drop }) => drop).map(({ name }) => name);

interface Totals {
  readonly at: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly drops: Readonly<Record<string, number>>;
}

/** Traffic and drops of the last minutes in steps, so that a fault can be seen after it happened. */
export class History {
  readonly #samples: Sample[] = [];
  readonly #read: () => readonly CounterSnapshot[];
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #last: Totals;

  /** @param read the current counters of every data plane */
  constructor(read: () => readonly CounterSnapshot[], now: () => number = Date.now) {
    this.#read = read;
    this.#now = now;
    this.#last = this.#totals();
    this.#timer = setInterval(() => contain('web', () => this.step()), STEP_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Samples that ended after `since`, the oldest first. */
  after(since: number): Sample[] {
    return this.#samples.filter(({ at }) => at > since);
  }

  /** Ends a step. A sum that decreased is of a restarted data plane, which counts from zero. */
  step(): void {
    const last = this.#last;
    const now = this.#totals();
    const grown = (value: number, before: number) => (value >= before ? value - before : value);
    const drops = Object.entries(now.drops)
      .map(([name, frames]) => [name, grown(frames, last.drops[name] ?? 0)] as const)
      .filter(([, frames]) => frames > 0);
    this.#samples.push({
      at: now.at,
      ms: Math.max(1, now.at - last.at),
      sentBytes: grown(now.sentBytes, last.sentBytes),
      receivedBytes: grown(now.receivedBytes, last.receivedBytes),
      drops: Object.fromEntries(drops),
    });
    if (this.#samples.length > STEPS) this.#samples.shift();
    this.#last = now;
  }

  #totals(): Totals {
    const planes = this.#read();
    const sum = (value: (plane: CounterSnapshot) => number) =>
      planes.reduce((total, plane) => total + value(plane), 0);
    const peers = (way: 'egress' | 'ingress') =>
      sum(plane => Object.values(plane.peers).reduce((bytes, tally) => bytes + tally[way].bytes, 0));
    return {
      at: this.#now(),
      sentBytes: peers('egress'),
      receivedBytes: peers('ingress'),
      drops: Object.fromEntries(
        DROPS.map(name => [name, sum(plane => plane.verdicts[name]?.frames ?? 0)] as const),
      ),
    };
  }
}
