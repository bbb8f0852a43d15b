import { bars, type Chart, lines, type Value } from './chart.ts';
import { type Cell, distinct, indexCells, labelOf } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';

/** Told apart by people who see few colours, too (after Okabe and Ito), then their lighter relatives. */
const COLORS = [
  ...['#8c8c8c', '#222222', '#0072b2', '#56b4e9', '#d55e00', '#e69f00', '#009e73', '#cc79a7', '#b8a800'],
  ...['#c4c4c4', '#5f7f9f', '#9fd0f0', '#e9a27a', '#f2cf80', '#7fceb9', '#e5bcd3'],
  ...['#7f5f3f', '#5b3a8c', '#a83232', '#2f6b6b', '#e06aa8'],
];
const YARDSTICK = 'kernel';
const PERCENTILES = { rr50: '50 %', rr90: '90 %', rr99: '99 %', rr999: '99.9 %' } as const;

/** The plots of an end-to-end run: ratio to the kernel, packet rate, latency, CPU. Empty when there was none. */
export function plots(file: BenchFile, list: readonly Cell[]): string[] {
  const find = indexCells(list);
  const conditions = distinct(list, cell => cell.condition);
  const contenders = distinct(list, cell => cell.contender);
  const has = (figure: FigureId) => list.some(cell => cell.figure === figure);

  /** A series a contender that was measured. */
  const seriesOf = (valuesOf: (id: string) => (Value | undefined)[]): Chart['series'] =>
    contenders
      .map((id, index) => ({
        name: labelOf(file, id),
        color: COLORS[index % COLORS.length]!,
        values: valuesOf(id),
      }))
      .filter(({ values }) => values.some(value => value !== undefined));

  const byCondition = (figure: FigureId, options: Partial<Chart> = {}): string[] => {
    if (!has(figure)) return [];
    const { title, unit } = FIGURES[figure];
    const series = seriesOf(id => conditions.map(condition => find(id, condition, figure)));
    return [bars({ title, unit, groups: conditions, series, ...options })];
  };

  /** Over the kernel's median. */
  const ratios = (figure: FigureId): string[] => {
    if (!has(figure) || !contenders.includes(YARDSTICK)) return [];
    const series = seriesOf(id =>
      conditions.map(condition => {
        const base = find(YARDSTICK, condition, figure)?.median;
        const cell = id === YARDSTICK || !base ? undefined : find(id, condition, figure);
        return cell && base
          ? { median: cell.median / base, min: cell.min / base, max: cell.max / base }
          : undefined;
      }),
    );
    const title = `${FIGURES[figure].title}: ratio to kernel VXLAN, by condition of the underlay`;
    return [bars({ title, unit: 'the median of kernel VXLAN is 1', groups: conditions, series, line: 1 })];
  };

  const latency = (condition: string): string[] => {
    const figures = (Object.keys(PERCENTILES) as (keyof typeof PERCENTILES)[]).filter(has);
    if (figures.length === 0) return [];
    const title = `Round trip of one byte, ${condition}: so many were faster`;
    const groups = figures.map(figure => PERCENTILES[figure]);
    const series = seriesOf(id => figures.map(figure => find(id, condition, figure)));
    return [lines({ title, unit: 'us, medians of the rounds', groups, series, logarithmic: true })];
  };

  return [
    ...ratios('tcp1'),
    ...ratios('tcp4'),
    ...byCondition('udp64x1', { title: 'Packets of 64 bytes, 1 flow, received' }),
    ...byCondition('udp64x8', { title: 'Packets of 64 bytes, 8 flows, received' }),
    ...conditions.flatMap(latency),
    ...byCondition('cpu', {
      title: 'CPU time of the whole machine per gigabit, TCP, 1 stream',
      logarithmic: true,
    }),
  ];
}
