import { described, listOf, number, oneOf, record, string, type ValueOf } from '../../base/schema.ts';
import { summarize } from '../figures/statistics.ts';
import { FIGURE_IDS, type FigureId } from './figures.ts';

const sample = record({
  size: described('bytes of the IP packets; 0 where it does not matter', number),
  figure: described('what was measured', oneOf(FIGURE_IDS)),
  repeat: described('number of the repeat, from 1', number),
  value: described('in the unit of the figure', number),
});
export type BenchSample = ValueOf<typeof sample>;

const point = record({
  size: described('bytes of the IP packets', number),
  offered: described('packets per second that were sent', number),
  arrived: described('packets per second that arrived', number),
  lossPercent: described('lost packets, per cent', number),
});
export type Point = ValueOf<typeof point>;

export const benchField = record({
  peer: described('address and port of the sink', string),
  began: described('start, ISO 8601', string),
  seconds: described('duration of all', number),
  trialSeconds: described('duration of one trial', number),
  lossLimitPercent: described('loss with which a trial still passes, per cent', number),
  sizes: described('bytes of the IP packets', listOf(number)),
  repeats: described('how often everything was measured', number),
  samples: described('one value per figure, size and repeat', listOf(sample)),
  curve: described('loss at each rate that was tried', listOf(point)),
  noisy: described('figures whose repeats differ so much that a difference is hard to see', listOf(string)),
  notes: described('what may mislead a reader of these figures', listOf(string)),
});
export type BenchReport = ValueOf<typeof benchField>;

/** All repeats of one figure. */
export interface Cell {
  readonly size: number;
  readonly figure: FigureId;
  readonly values: readonly number[];
  readonly median: number;
  /** The range of the repeats. */
  readonly min: number;
  readonly max: number;
}

/** The samples by figure and size, in the order of the figures. */
export function cellsOf(samples: readonly BenchSample[]): Cell[] {
  const sizes = [...new Set(samples.map(({ size }) => size))].sort((a, b) => a - b);
  return sizes.flatMap(size =>
    FIGURE_IDS.flatMap(figure => {
      const values = samples
        .filter(one => one.size === size && one.figure === figure)
        .map(({ value }) => value);
      const summary = summarize(values);
      return summary
        ? [{ size, figure, values, median: summary.median, min: summary.min, max: summary.max }]
        : [];
    }),
  );
}

/**
 * How sure the range of n repeats is to have the median in it: 1 - 2 * 0.5^n, whatever the distribution (the sign test).
 * @returns per cent
 */
export function confidenceOf(repeats: number): number {
  return (1 - 2 * 0.5 ** repeats) * 100;
}
