/*
 * The figures of the README: a plot, a caption and a table, read from the report (bench/results/benchmarks.md). The plot is
 * SVG drawn without a library, so that a test can compare the file with the report.
 */

/** Condition of the underlay that the README shows; a report without it shows its first one. */
const HEADLINE = 'nic';

interface Panel {
  /** First cell of the row in the report. */
  readonly row: string;
  readonly title: string;
  readonly better: 'more is better' | 'less is better';
}

const PANELS: readonly Panel[] = [
  { row: 'TCP, 1 stream, Gbit/s', title: 'TCP, 1 stream, Gbit/s', better: 'more is better' },
  { row: 'UDP 64 bytes, 1 flow, kpps', title: 'UDP, 64 bytes, 1000 packets/s', better: 'more is better' },
  { row: 'round trip, p50, us', title: 'round trip, median, microseconds', better: 'less is better' },
  { row: 'CPU time per gigabit, s/Gbit', title: 'CPU seconds per gigabit', better: 'less is better' },
];

interface Contender {
  /** Head of the column in the report. */
  readonly column: string;
  readonly label: string;
  readonly color: string;
  /** It encrypts: its bar stands apart. */
  readonly sealed?: true;
}

const KERNEL: Contender = { column: 'kernel VXLAN', label: 'kernel VXLAN', color: '#737373' };
const OWN: Contender = { column: 'Ripstop vxlan', label: 'Ripstop vxlan', color: '#0072b2' };
/** Those that the report has are drawn; these two it must have. */
const CONTENDERS: readonly Contender[] = [
  KERNEL,
  OWN,
  { column: 'Ripstop udp', label: 'Ripstop udp', color: '#56b4e9' },
  { column: 'one call (C)', label: 'one packet per call, C', color: '#e69f00' },
  { column: 'fastd, null', label: 'fastd, no cipher', color: '#d55e00' },
  { column: 'wireguard-go', label: 'wireguard-go, sealed', color: '#009e73', sealed: true },
  { column: 'nebula, AES', label: 'nebula, sealed', color: '#cc79a7', sealed: true },
];

/** Columns of the table: rows of the report, as ratios to kernel VXLAN. */
const RATIOS: readonly (readonly [row: string, head: string])[] = [
  ['TCP, 1 stream, Gbit/s', 'TCP, 1 stream'],
  ['TCP, 4 streams, Gbit/s', 'TCP, 4 streams'],
  ['UDP 64 bytes, 1 flow, kpps', '64-byte packets'],
  ['round trip, p50, us', 'round trip p50'],
  ['round trip, p99, us', 'p99'],
  ['CPU time per gigabit, s/Gbit', 'CPU per gigabit'],
  ['TCP connections, 1/s', 'connections'],
];
/** Conditions of the table, of those that the report has. */
const CONDITIONS = [HEADLINE, 'wirecs', 'def'];

const [PANEL_WIDTH, LEFT, BAR, STEP, APART] = [450, 150, 20, 27, 10];

/** Cells of a row of a Markdown table. */
const cellsOf = (line: string) =>
  line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim());

type Rows = readonly string[][];

/** The tables of one condition, of tunnels that do not encrypt and of those that do; empty where the report has none. */
function tablesOf(report: string, condition: string): { open: Rows; sealed: Rows } {
  const section = (title: string): Rows => {
    const [, text = ''] = report.split(`## End to end, underlay ${condition}${title}`);
    const lines = text.split('\n## ')[0]!.split('\n');
    return lines.filter(line => line.startsWith('|')).map(cellsOf);
  };
  return { open: section(':'), sealed: section(', sealed:') };
}

function headlineOf(report: string): string {
  if (tablesOf(report, HEADLINE).open.length > 0) return HEADLINE;
  const first = /^## End to end, underlay (\w+):/m.exec(report)?.[1];
  if (first === undefined) throw new Error('the report has no table of an end-to-end run');
  return first;
}

/** Median of one contender, the number before the brackets; undefined when the report lacks it. */
function medianOf(table: Rows, row: string, column: string): number | undefined {
  const place = table[0]?.indexOf(column) ?? -1;
  const cell = table.find(([name]) => name === row)?.[place] ?? '';
  const value = Number.parseFloat(cell.replaceAll(',', ''));
  return place < 0 || !Number.isFinite(value) ? undefined : value;
}

interface Bar extends Contender {
  readonly value: number;
}

/** @throws Error when the report lacks Ripstop or the kernel */
function barsOf(report: string, row: string): Bar[] {
  const { open, sealed } = tablesOf(report, headlineOf(report));
  return CONTENDERS.flatMap(contender => {
    const value = medianOf(contender.sealed ? sealed : open, row, contender.column);
    if (value !== undefined) return [{ ...contender, value }];
    if (contender !== KERNEL && contender !== OWN) return [];
    throw new Error(`the report has no figure "${row}" of "${contender.column}"`);
  });
}

function panelOf({ title, better }: Panel, bars: readonly Bar[], x: number, y: number): string {
  const scale = (PANEL_WIDTH - LEFT - 70) / Math.max(...bars.map(({ value }) => value));
  const drawn = bars.flatMap(({ label, color, value, sealed }, index) => {
    const top = 34 + index * STEP + (sealed ? APART : 0);
    const width = (value * scale).toFixed(1);
    const end = (LEFT + value * scale + 6).toFixed(1);
    return [
      `<text x="${LEFT - 8}" y="${top + 15}" text-anchor="end">${label}</text>`,
      `<rect x="${LEFT}" y="${top}" width="${width}" height="${BAR}" fill="${color}"/>`,
      `<text x="${end}" y="${top + 15}">${value}</text>`,
    ];
  });
  const head = `<text x="0" y="18" font-weight="bold">${title}</text><text x="${LEFT + 120}" y="18" fill="#595959">${better}</text>`;
  return `<g transform="translate(${x} ${y})">${head}${drawn.join('')}</g>`;
}

/** The plot as an SVG file. @throws Error when the report lacks a figure */
export function plotOf(report: string): string {
  const bars = PANELS.map(({ row }) => barsOf(report, row));
  const most = Math.max(...bars.map(({ length }) => length));
  const step = 34 + most * STEP + APART + 7;
  const panels = PANELS.map((panel, at) =>
    panelOf(panel, bars[at]!, 16 + (at % 2) * PANEL_WIDTH, 8 + Math.floor(at / 2) * step),
  );
  const [width, height] = [2 * PANEL_WIDTH + 32, 2 * step + 8];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13">`,
    '<title>Ripstop, kernel VXLAN and other tunnels in user space, pod to pod</title>',
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...panels,
    '</svg>',
    '',
  ].join('\n');
}

/** A sentence with the machine and the run that the figures come from, and a table of ratios to kernel VXLAN. */
export function figuresOf(report: string): string {
  const fact = (name: string) => new RegExp(`^- ${name}: (.*)$`, 'm').exec(report)?.[1] ?? 'unknown';
  const caption = `Pod to pod, condition \`${headlineOf(report)}\`, medians; ${fact('machine')}, Linux ${fact('kernel')}, Node ${fact('Node')}; Ripstop ${fact('Ripstop')}, ${fact('run').slice(0, 10)}.`;
  const rows = CONDITIONS.flatMap(condition => {
    const { open } = tablesOf(report, condition);
    if (open.length === 0) return [];
    const ratios = RATIOS.map(([row]) => {
      const [own, kernel] = [OWN, KERNEL].map(({ column }) => medianOf(open, row, column));
      return own === undefined || !kernel ? '-' : (own / kernel).toFixed(2);
    });
    return [[`\`${condition}\``, ...ratios]];
  });
  const head = ['Ripstop over kernel VXLAN', ...RATIOS.map(([, name]) => name)];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [caption, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
