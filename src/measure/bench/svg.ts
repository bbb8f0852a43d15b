/* Line charts as SVG text, for a page that needs nothing but itself. */

export interface ChartSeries {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly ChartSeries[];
  /** Both axes begin at 0 otherwise. */
  readonly logarithmicY?: boolean;
  readonly format: (value: number) => string;
}

const WIDTH = 760;
const HEIGHT = 320;
const LEFT = 70;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 70;
/** Distinct for people who see few colours as well (after Okabe and Ito). */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#222222'];
const TICKS = 5;

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`);
}

/** Round numbers from 0 to at least `max`. */
export function ticksTo(max: number): number[] {
  if (!(max > 0)) return [0, 1];
  const rough = max / TICKS;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * decade).find(one => one >= rough) ?? rough;
  return Array.from({ length: Math.ceil(max / step - 1e-9) + 1 }, (_, at) =>
    Number((at * step).toPrecision(12)),
  );
}

function decades(values: readonly number[]): number[] {
  const positive = values.filter(value => value > 0);
  if (positive.length === 0) return [1, 10];
  const low = Math.floor(Math.log10(Math.min(...positive)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive))));
  return Array.from({ length: high - low + 1 }, (_, at) => 10 ** (low + at));
}

/** The chart, with a legend below. */
export function lineChart(chart: LineChart): string {
  const { title, x, y, series, logarithmicY = false, format } = chart;
  const all = series.flatMap(({ points }) => points);
  const xTicks = ticksTo(Math.max(0, ...all.map(([value]) => value)));
  const values = all.map(([, value]) => value);
  const yTicks = logarithmicY ? decades(values) : ticksTo(Math.max(0, ...values));
  const xEnd = xTicks.at(-1) ?? 1;
  const scale = logarithmicY ? Math.log10 : (value: number) => value;
  const [yFrom, yTo] = [scale(yTicks[0] ?? 0), scale(yTicks.at(-1) ?? 1)];
  const atX = (value: number) => round(LEFT + (value / xEnd) * (WIDTH - LEFT - RIGHT));
  const atY = (value: number) => {
    const place = logarithmicY && value <= 0 ? yFrom : scale(value);
    return round(HEIGHT - BOTTOM - ((place - yFrom) / (yTo - yFrom)) * (HEIGHT - TOP - BOTTOM));
  };
  const grid = [
    ...xTicks.map(
      tick =>
        `<line x1="${atX(tick)}" y1="${TOP}" x2="${atX(tick)}" y2="${HEIGHT - BOTTOM}" class="grid"/>` +
        `<text x="${atX(tick)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${escapeXml(format(tick))}</text>`,
    ),
    ...yTicks.map(
      tick =>
        `<line x1="${LEFT}" y1="${atY(tick)}" x2="${WIDTH - RIGHT}" y2="${atY(tick)}" class="grid"/>` +
        `<text x="${LEFT - 6}" y="${atY(tick) + 4}" text-anchor="end">${escapeXml(format(tick))}</text>`,
    ),
  ];
  const lines = series.map(({ points }, at) => {
    const color = COLORS[at % COLORS.length];
    const places = points.map(([px, py]) => `${atX(px)},${atY(py)}`);
    const dots = places.map(place => {
      const [cx, cy] = place.split(',');
      return `<circle cx="${cx}" cy="${cy}" r="3" fill="${color}"/>`;
    });
    return `<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="1.5"/>${dots.join('')}`;
  });
  const legend = series.map(({ name }, at) => {
    const left = LEFT + at * 130;
    const color = COLORS[at % COLORS.length];
    return (
      `<rect x="${left}" y="${HEIGHT - 16}" width="10" height="10" fill="${color}"/>` +
      `<text x="${left + 15}" y="${HEIGHT - 7}">${escapeXml(name)}</text>`
    );
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escapeXml(title)}">
<text x="0" y="16" class="title">${escapeXml(title)}</text>
<text x="0" y="32">${escapeXml(y)}</text>
<text x="${WIDTH - RIGHT}" y="${HEIGHT - BOTTOM + 34}" text-anchor="end">${escapeXml(x)}</text>
${[...grid, ...lines, ...legend].join('\n')}
</svg>`;
}

const round = (value: number): number => Math.round(value * 10) / 10;
