import type { Comparison } from '../../../measure/bench/compare.ts';
import { FIGURES } from '../../../measure/bench/figures.ts';
import { type BenchReport, cellsOf, confidenceOf } from '../../../measure/bench/report.ts';
import { valueText } from '../../../measure/bench/value-text.ts';
import { formatTable } from '../../terminal/table.ts';

/** What `ripstop bench` measured, for a person. */
export function benchText(report: BenchReport): string {
  const { peer, repeats, lossLimitPercent, seconds, noisy, notes } = report;
  const cells = cellsOf(report.samples);
  const sizes = [...new Set(cells.map(({ size }) => size))];
  const tables = sizes.map(size => {
    const rows = cells
      .filter(cell => cell.size === size)
      .map(({ figure, median, min, max }) => {
        const known = FIGURES[figure];
        return [known.title, valueText(median, known), valueText(min, known), valueText(max, known)];
      });
    const title = size === 0 ? 'the path' : `${size} bytes`;
    return formatTable([title, 'median', 'min', 'max'], rows);
  });
  const warnings = [...notes, ...(noisy.length > 0 ? [`Noisy, read with care: ${noisy.join(', ')}.`] : [])];
  const range =
    repeats > 1
      ? `The median is between min and max with ${confidenceOf(repeats).toFixed(0)} % confidence.\n`
      : 'One repeat has no confidence interval.\n';
  return [
    `${peer}: ${repeats} repeat${repeats === 1 ? '' : 's'} in ${seconds} s, at most ${lossLimitPercent} % loss\n`,
    ...tables,
    range + warnings.map(note => `! ${note}\n`).join(''),
  ].join('\n');
}

/** A comparison of two runs, for a person. */
export function comparisonText({ before, after, differences }: Comparison): string {
  const rows = differences.map(({ size, figure, before: first, after: second, changePercent, verdict }) => {
    const known = FIGURES[figure];
    const change =
      changePercent === null ? '' : `${changePercent > 0 ? '+' : ''}${changePercent.toFixed(1)} %`;
    return [
      size === 0 ? '' : `${size}`,
      figure,
      valueText(first, known),
      valueText(second, known),
      change,
      verdict,
    ];
  });
  const real = differences.filter(({ verdict }) => verdict === 'better' || verdict === 'worse').length;
  return (
    `before ${before}, after ${after}\n\n` +
    formatTable(['bytes', 'figure', 'before', 'after', 'change', ''], rows) +
    `\n${real} of ${differences.length} differences are more than noise (Mann-Whitney U test, p < 0.05).\n`
  );
}
