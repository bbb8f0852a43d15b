import { init } from 'echarts';
import { type Cell, distinct, indexCells, labelOf } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';

const WIDTH = 900;
/** Without legend and names. */
const HEIGHT = 300;
/** Told apart by people who see few colours, too (after Okabe and Ito), then their lighter relatives. */
const COLORS = [
  ...['#8c8c8c', '#222222', '#0072b2', '#56b4e9', '#d55e00', '#e69f00', '#009e73', '#cc79a7', '#b8a800'],
  ...['#c4c4c4', '#5f7f9f', '#9fd0f0', '#e9a27a', '#f2cf80', '#7fceb9', '#e5bcd3'],
  ...['#7f5f3f', '#5b3a8c', '#a83232', '#2f6b6b', '#e06aa8'],
];

interface Bars {
  title: string;
  /** Names along the axis. */
  groups: readonly string[];
  series: readonly { name: string; color: string; values: readonly (number | null)[] }[];
  unit: string;
  logarithmic?: boolean;
  /** Draws a line across at this value. */
  line?: number;
}

/** Grouped bars as an SVG element, drawn without a browser. */
function bars({ title, groups, series, unit, logarithmic = false, line }: Bars): string {
  // Many names along the axis stand askew; many series take several lines of legend.
  const askew = groups.length > 7;
  const legend = Math.ceil(series.length / 6) * 24;
  const below = legend + (askew ? 95 : 35);
  const height = HEIGHT + below;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    const top = (extent: { max: number }) => Math.max(extent.max, line ?? 0) * 1.05;
    chart.setOption({
      animation: false,
      title: { text: title, subtext: unit, left: 0, textStyle: { fontSize: 15 } },
      legend: { bottom: 0, type: 'plain', itemGap: 24 },
      grid: { left: 70, right: 20, top: 65, bottom: below },
      xAxis: { type: 'category', data: [...groups], axisLabel: { interval: 0, rotate: askew ? 40 : 0 } },
      yAxis: logarithmic ? { type: 'log' } : { type: 'value', max: top, axisLabel: { showMaxLabel: false } },
      series: series.map(({ name, color, values }, index) => ({
        type: 'bar',
        name,
        color,
        barMaxWidth: 48,
        data: values.map(value => value ?? '-'),
        ...(index === 0 && line !== undefined ? { markLine: lineAt(line) } : {}),
      })),
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

const lineAt = (value: number) => ({
  silent: true,
  symbol: 'none',
  label: { show: false },
  lineStyle: { color: '#444', type: 'dashed' },
  data: [{ yAxis: value }],
});

/** The plots of an end-to-end run: ratio to the kernel, packet rate, latency, CPU. Empty when there was none. */
export function plots(file: BenchFile, list: readonly Cell[]): string[] {
  if (list.length === 0) return [];
  const find = indexCells(list);
  const conditions = distinct(list, cell => cell.condition);
  const contenders = distinct(list, cell => cell.contender);
  const has = (figure: FigureId) => list.some(cell => cell.figure === figure);
  const byCondition = (figure: FigureId, of = contenders, to?: string) =>
    of.map(id => ({
      name: labelOf(file, id),
      color: COLORS[contenders.indexOf(id) % COLORS.length]!,
      values: conditions.map(condition => {
        const median = find(id, condition, figure)?.median;
        if (median === undefined || to === undefined) return median ?? null;
        const base = find(to, condition, figure)?.median;
        return base ? median / base : null;
      }),
    }));
  const results: string[] = [];
  const draw = (figure: FigureId, options: Partial<Bars>, of?: string[], to?: string) => {
    if (!has(figure)) return;
    const { title, unit } = FIGURES[figure];
    results.push(bars({ title, unit, groups: conditions, series: byCondition(figure, of, to), ...options }));
  };
  if (contenders.includes('kernel')) {
    const others = contenders.filter(id => id !== 'kernel');
    for (const figure of ['tcp1', 'tcp4'] as const) {
      const title = `${FIGURES[figure].title}: ratio to kernel VXLAN, by condition of the underlay`;
      draw(figure, { title, unit: 'kernel VXLAN is 1', line: 1 }, others, 'kernel');
    }
  }
  draw('udp64x1', { title: 'Packets of 64 bytes, 1 flow, received' });
  draw('udp64x8', { title: 'Packets of 64 bytes, 8 flows, received' });
  if (has('rr50')) {
    for (const condition of conditions) {
      const series = (['rr50', 'rr99', 'rr999'] as const).map((figure, index) => ({
        name: FIGURES[figure].title,
        color: COLORS[index + 2]!,
        values: contenders.map(id => find(id, condition, figure)?.median ?? null),
      }));
      const groups = contenders.map(id => labelOf(file, id));
      results.push(
        bars({
          title: `Round trip of one byte, ${condition}`,
          unit: 'us',
          groups,
          series,
          logarithmic: true,
        }),
      );
    }
  }
  draw('cpu', { title: 'CPU time of the whole machine per gigabit, TCP, 1 stream', logarithmic: true });
  return results;
}
