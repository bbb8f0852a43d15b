import { type CustomSeriesOption, type EChartsOption, init } from 'echarts';

/* Charts as SVG elements, drawn without a browser (docs/decisions/0042-report-without-a-browser.md). */

const WIDTH = 900;
/** Without legend and names. */
const HEIGHT = 300;
/** Series of one line of the legend. */
const LEGEND = 6;

/** A median, and the smallest and the largest sample around it. */
export interface Value {
  median: number;
  min: number;
  max: number;
}

export interface Chart {
  title: string;
  unit: string;
  /** Names along the axis. */
  groups: readonly string[];
  series: readonly { name: string; color: string; values: readonly (Value | undefined)[] }[];
  logarithmic?: boolean;
  /** Draws a line across at this value. */
  line?: number;
}

/** Grouped bars of the medians, with a whisker from the smallest to the largest sample. */
export function bars(chart: Chart): string {
  const { series, line } = chart;
  return draw(chart, [
    ...series.map(({ name, color, values }, index) => ({
      type: 'bar' as const,
      name,
      color,
      barMaxWidth: BAR.barMaxWidth,
      barGap: BAR.barGap,
      data: values.map(value => value?.median ?? '-'),
      ...(index === 0 && line !== undefined ? { markLine: lineAt(line) } : {}),
    })),
    ...series.map(({ values }, index) => whiskers(values, index, series.length)),
  ]);
}

/** One line a series. */
export function lines(chart: Chart): string {
  return draw(
    chart,
    chart.series.map(({ name, color, values }) => ({
      type: 'line' as const,
      name,
      color,
      data: values.map(value => value?.median ?? '-'),
    })),
  );
}

const BAR = { barMaxWidth: 48, barGap: '10%' } as const;

function whiskers(values: readonly (Value | undefined)[], index: number, count: number): CustomSeriesOption {
  return {
    type: 'custom',
    silent: true,
    z: 3,
    data: values.flatMap((value, group) => (value ? [[group, value.min, value.max]] : [])),
    renderItem(_, api) {
      const layout = api.barLayout?.({ ...BAR, barCategoryGap: '20%', count })?.[index];
      if (!layout) return undefined;
      const [x = 0, low = 0] = api.coord([api.value(0), api.value(1)]);
      const [, high = 0] = api.coord([api.value(0), api.value(2)]);
      const center = x + layout.offsetCenter;
      const half = Math.min(4, layout.width / 3);
      const stroke = (x1: number, y1: number, x2: number, y2: number) => ({
        type: 'line' as const,
        shape: { x1, y1, x2, y2 },
        style: { stroke: '#555', lineWidth: 1 },
      });
      return {
        type: 'group',
        children: [
          stroke(center, low, center, high),
          stroke(center - half, low, center + half, low),
          stroke(center - half, high, center + half, high),
        ],
      };
    },
  };
}

const lineAt = (value: number) => ({
  silent: true,
  symbol: 'none',
  label: { show: false },
  lineStyle: { color: '#444', type: 'dashed' as const },
  data: [{ yAxis: value }],
});

const decade = (round: (x: number) => number, value: number) => 10 ** round(Math.log10(value));

function draw(
  { title, unit, groups, series, logarithmic, line }: Chart,
  marks: EChartsOption['series'],
): string {
  // Many names along the axis stand askew.
  const askew = groups.length > 7;
  const below = Math.ceil(series.length / LEGEND) * 24 + (askew ? 95 : 35);
  const all = series.flatMap(({ values }) => values.flatMap(value => (value ? [value.min, value.max] : [])));
  const positive = all.filter(value => value > 0);
  // Bars begin at the lowest decade; by default they would begin at 1.
  const lowest = decade(Math.floor, Math.min(...positive));
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT + below });
  try {
    chart.setOption({
      animation: false,
      title: { text: title, subtext: unit, left: 0, textStyle: { fontSize: 15 } },
      legend: { bottom: 0, type: 'plain', itemGap: 24, data: series.map(({ name }) => name) },
      grid: { left: 70, right: 20, top: 65, bottom: below },
      xAxis: { type: 'category', data: [...groups], axisLabel: { interval: 0, rotate: askew ? 40 : 0 } },
      yAxis: logarithmic
        ? { type: 'log', min: lowest, max: decade(Math.ceil, Math.max(...positive)), startValue: lowest }
        : { type: 'value', max: Math.max(...all, line ?? 0) * 1.05, axisLabel: { showMaxLabel: false } },
      series: marks ?? [],
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
