import {
  described,
  listOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';
import { mannWhitney } from '../figures/statistics.ts';
import { FIGURE_IDS, FIGURES } from './figures.ts';
import { type BenchReport, cellsOf } from './report.ts';

/** Below this probability, a difference is more than noise. */
const SIGNIFICANT = 0.05;

export const VERDICTS = ['better', 'worse', 'noise', 'too few repeats'] as const;

const difference = record({
  size: described('bytes of the IP packets; 0 where it does not matter', number),
  figure: described('what was measured', oneOf(FIGURE_IDS)),
  before: described('median before', number),
  after: described('median after', number),
  changePercent: described('change of the median, per cent; null from 0', nullable(number)),
  probability: described('how often noise alone makes ranks as different (Mann-Whitney U test)', number),
  verdict: described('what that means', oneOf(VERDICTS)),
});

export const comparisonField = record({
  before: described('start of the first run, ISO 8601', string),
  after: described('start of the second run', string),
  differences: described('by size and figure', listOf(difference)),
});
export type Comparison = ValueOf<typeof comparisonField>;

/** What changed between two runs, of the figures that both have. */
export function compareBench(before: BenchReport, after: BenchReport): Comparison {
  const first = cellsOf(before.samples);
  const differences = cellsOf(after.samples).flatMap(({ size, figure, values, median }) => {
    const other = first.find(cell => cell.size === size && cell.figure === figure);
    if (!other) return [];
    const probability = mannWhitney(other.values, values);
    const isMore = median > other.median;
    const isBetter = isMore === (FIGURES[figure].better === 'more');
    // So few repeats cannot differ by enough, whatever they are.
    const least = smallestProbability(other.values.length, values.length);
    const verdict =
      least >= SIGNIFICANT
        ? 'too few repeats'
        : probability >= SIGNIFICANT
          ? 'noise'
          : isBetter
            ? 'better'
            : 'worse';
    return [
      {
        ...{ size, figure, before: other.median, after: median },
        changePercent: other.median === 0 ? null : Number(((median / other.median - 1) * 100).toFixed(2)),
        probability: Number(probability.toPrecision(3)),
        verdict,
      } as const,
    ];
  });
  return { before: before.began, after: after.began, differences };
}

/** The probability when all values of one side are larger than all of the other. */
function smallestProbability(m: number, n: number): number {
  const low = Array.from({ length: m }, () => 0);
  return mannWhitney(
    low,
    Array.from({ length: n }, () => 1),
  );
}
