import { cells, labelOf } from '../report/rows.ts';
import type { BenchFile } from '../report/samples.ts';

/** One line per store and node of the soak: flat, or what grew. '' when there was no churn. */
export function verdictOfChurn(file: BenchFile): string {
  const list = cells(file.samples, 'churn');
  const value = (contender: string, condition: string, figure: string) =>
    list.find(cell => cell.contender === contender && cell.condition === condition && cell.figure === figure)
      ?.median;
  const contenders = [...new Set(list.map(({ contender }) => contender))];
  return contenders
    .map(contender => {
      const watched = list.filter(cell => cell.contender === contender && cell.figure === 'churnGrowth');
      const grown = watched.filter(
        ({ condition, median }) => median >= (value(contender, condition, 'churnBound') ?? 0),
      );
      const what =
        grown.length === 0 ? 'flat' : `growing: ${grown.map(({ condition }) => condition).join('; ')}`;
      return `churn, ${labelOf(file, contender)}: ${what}`;
    })
    .join('\n');
}
