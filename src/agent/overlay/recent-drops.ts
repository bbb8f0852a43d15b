import type { FrameCount } from '../../dataplane/descriptor/read-counters.ts';
import { DROP_VERDICTS, VERDICTS } from '../../dataplane/descriptor/verdicts.ts';

type Counts = Readonly<Record<string, FrameCount>>;

/** Samples that are kept, and the time between two of them: drops of the last ten minutes are recent. */
const SAMPLES = 10;
const SAMPLE_MS = 60_000;
/** Time from the first peers on in which both ends learn of each other. */
const SETTLE_MS = 5000;
/** What is lost in that time: the packets of nodes whose leases have not been read yet, and those to them. */
const AT_START: readonly string[] = ['unknown-peer', 'no-peer'];
const NONE: FrameCount = { frames: 0, bytes: 0 };

/**
 * Separates the drops that still matter from earlier ones: a fault that was repaired an hour ago, and the packets that the
 * neighbours sent while this node started, are none of today's faults. `ripstop drops` counts all of them.
 */
export class RecentDrops {
  readonly #read: () => Counts | undefined;
  readonly #samples: Counts[] = [];
  #atStart: Counts | undefined;
  #timers: NodeJS.Timeout[] = [];

  /** @param read the counters of all verdicts; undefined without a data plane */
  constructor(read: () => Counts | undefined) {
    this.#read = read;
  }

  /** The overlay has its first peers. */
  start(settleMs = SETTLE_MS, sampleMs = SAMPLE_MS): void {
    if (this.#timers.length > 0) return;
    const settled = setTimeout(() => {
      this.#atStart = this.#read() ?? {};
    }, settleMs);
    const sampled = setInterval(() => this.sample(), sampleMs);
    this.#timers = [settled.unref(), sampled.unref()];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  sample(): void {
    this.#samples.push(this.#read() ?? {});
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** Frames by the name of each drop verdict that occurred recently. */
  counts(): Counts {
    const now = this.#read() ?? {};
    const [oldest = {}] = this.#samples;
    // Before the end of that time, all of it counts as the start.
    const start = this.#atStart ?? now;
    const recent = DROP_VERDICTS.map((number): [string, FrameCount] => {
      const { name = '' } = VERDICTS[number] ?? {};
      const bases = [oldest[name] ?? NONE, AT_START.includes(name) ? (start[name] ?? NONE) : NONE];
      return [name, since(now[name] ?? NONE, bases)];
    });
    return Object.fromEntries(recent.filter(([, { frames }]) => frames > 0));
  }
}

/** The counters of a data plane that was opened again begin at zero. */
function since(now: FrameCount, bases: readonly FrameCount[]): FrameCount {
  const valid = bases.filter(({ frames }) => frames <= now.frames);
  const frames = Math.max(0, ...valid.map(base => base.frames));
  const bytes = Math.max(0, ...valid.map(base => base.bytes));
  return { frames: now.frames - frames, bytes: Math.max(0, now.bytes - bytes) };
}
