import { summarize } from '../../../src/measure/figures/statistics.ts';

/** One value of something that is watched, at the end of a cycle of churn. */
export interface Point {
  /** Seconds since the first cycle began. */
  readonly atS: number;
  readonly value: number;
}

/** How a watched quantity may behave. */
export interface Quantity {
  readonly title: string;
  readonly unit: 'MB' | '';
  /** It is flat when it grows by less than this within the last two thirds of the run. */
  readonly bound: number;
}

/** MB that an allocator or a garbage collector may keep within the last two thirds of a run, although nothing grows. */
const RESIDENT_SLACK_MB = 12;
/** The same for what is in use after a forced collection: late compilation and the web UI's history of ten minutes. */
const HEAP_SLACK_MB = 2;

const memory = (title: string, bound = RESIDENT_SLACK_MB): Quantity => ({ title, unit: 'MB', bound });
/** Whole things: one more than before is growth. */
const count = (title: string, bound = 1): Quantity => ({ title, unit: '', bound });

/** What is watched of each agent, in the order in which it is shown. */
export const QUANTITIES = {
  rss: memory('resident memory'),
  pss: memory('proportional set size'),
  privateDirty: memory('private dirty memory'),
  heap: memory('JavaScript heap after a collection', HEAP_SLACK_MB),
  buffers: memory('buffers, shared ones included, after a collection', HEAP_SLACK_MB),
  external: memory('external memory after a collection', HEAP_SLACK_MB),
  descriptors: count('file descriptors'),
  threads: count('threads'),
  namespaces: count('network namespaces held'),
  mappings: count('memory mappings', 64),
  // Node lists timers and open handles of its main thread.
  resources: count('active timers and handles', 4),
  routes: count('routes'),
  neighbours: count('permanent neighbours'),
  policies: count('policy rules'),
  rules: count('lines of firewall rules'),
  links: count('interfaces'),
  inodes: count('files in the state directories'),
} as const satisfies Record<string, Quantity>;

export type QuantityId = keyof typeof QUANTITIES;

export interface Verdict {
  /** Medians of the thirds of the run. */
  readonly first: number;
  readonly middle: number;
  readonly last: number;
  /** Growth within the last two thirds. */
  readonly growth: number;
  readonly bound: number;
  readonly isFlat: boolean;
}

/**
 * The criterion. The first third of a run is warm-up. Of the rest the slope is the median of the slopes between all pairs of
 * points (Theil and Sen), which single outliers do not move. Growth is this slope times the duration of the last two thirds.
 * @returns undefined for fewer than four points
 */
export function judge(points: readonly Point[], bound: number): Verdict | undefined {
  if (points.length < 4) return undefined;
  const third = Math.floor(points.length / 3);
  const settled = points.slice(third);
  const middle = settled.slice(0, Math.ceil(settled.length / 2));
  const last = settled.slice(middle.length);
  const [from, to] = [settled[0]!.atS, settled.at(-1)!.atS];
  const growth = theilSen(settled) * (to - from);
  return {
    first: median(points.slice(0, Math.max(1, third))),
    middle: median(middle),
    last: median(last),
    growth,
    bound,
    isFlat: growth < bound,
  };
}

const median = (points: readonly Point[]): number => summarize(points.map(({ value }) => value))?.median ?? 0;

/** Value per second. */
function theilSen(points: readonly Point[]): number {
  const slopes = points.flatMap((a, i) =>
    points
      .slice(i + 1)
      .filter(b => b.atS > a.atS)
      .map(b => (b.value - a.value) / (b.atS - a.atS)),
  );
  return summarize(slopes)?.median ?? 0;
}
