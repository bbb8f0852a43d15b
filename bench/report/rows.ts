import { type Summary, summarize } from '../../src/measure/figures/statistics.ts';
import { type BenchFile, FIGURES, type FigureId, type Sample } from './samples.ts';

/** The samples of one figure of one contender in one condition, summed up. */
export interface Cell extends Summary {
  contender: string;
  condition: string;
  figure: FigureId;
  values: number[];
}

/** All cells of a suite, in the order in which their first samples were taken. */
export function cells(samples: readonly Sample[], suite: string): Cell[] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    if (sample.suite !== suite || !Object.hasOwn(FIGURES, sample.figure)) continue;
    const key = `${sample.condition}\n${sample.contender}\n${sample.figure}`;
    const group = groups.get(key);
    if (group) group.push(sample);
    else groups.set(key, [sample]);
  }
  return [...groups.values()].map(group => {
    const { contender, condition, figure } = group[0]!;
    const values = group.map(sample => sample.value);
    return { contender, condition, figure: figure as FigureId, values, ...summarize(values)! };
  });
}

/** Finds one cell of a list quickly. */
export function indexCells(
  list: readonly Cell[],
): (contender: string, condition: string, figure: FigureId) => Cell | undefined {
  const index = new Map(list.map(cell => [`${cell.condition}\n${cell.contender}\n${cell.figure}`, cell]));
  return (contender, condition, figure) => index.get(`${condition}\n${contender}\n${figure}`);
}

/** Values of `pick`, each once, in order of appearance. */
export function distinct<T, K>(items: readonly T[], pick: (item: T) => K): K[] {
  return [...new Set(items.map(pick))];
}

/** Cells of the contenders that do not encrypt, and of those that do: these do more, and are not compared with the others. */
export function apart({ sealed = [] }: BenchFile, list: readonly Cell[]): [open: Cell[], sealed: Cell[]] {
  const isSealed = ({ contender }: Cell) => sealed.includes(contender);
  return [list.filter(cell => !isSealed(cell)), list.filter(isSealed)];
}

/** The contender's column title. */
export const labelOf = (file: BenchFile, contender: string) => file.labels[contender] ?? contender;

/** Programs with their versions, '' when only the kernel and Ripstop were measured. */
export const rivalsOf = ({ rivals = {} }: BenchFile) =>
  Object.entries(rivals)
    .map(([id, version]) => `${id} ${version}`)
    .join(', ');

/** A value as text, with the figure's decimals; from a thousand on decimals say nothing. */
export function show(figure: FigureId, value: number): string {
  const digits = Math.abs(value) >= 1000 ? 0 : FIGURES[figure].digits;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A ratio in four characters. */
export const showRatio = (ratio: number) => ratio.toFixed(ratio >= 100 ? 0 : ratio >= 10 ? 1 : 2);
