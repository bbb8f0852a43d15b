/*
 * The plot of the README: four figures of the last full run, read from its report (bench/results/benchmarks.md) and drawn
 * as SVG without a library, so that a test can compare the file with the report.
 */

/** Condition of the underlay: closest to a plain network card. */
const CONDITION = 'wirecs';

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
}

const CONTENDERS: readonly Contender[] = [
  { column: 'kernel VXLAN', label: 'kernel VXLAN', color: '#737373' },
  { column: 'Ripstop vxlan', label: 'Ripstop vxlan', color: '#0072b2' },
  { column: 'Ripstop udp', label: 'Ripstop udp', color: '#56b4e9' },
  { column: 'one call (C)', label: 'one packet per call, C', color: '#e69f00' },
  { column: 'fastd, null', label: 'fastd, no cipher', color: '#d55e00' },
];

const [PANEL_WIDTH, PANEL_HEIGHT, LEFT, BAR, STEP] = [450, 170, 150, 20, 27];

/** Cells of a row of a Markdown table. */
const cellsOf = (line: string) =>
  line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim());

/** The table of one condition. @throws Error when the report has none */
function tableOf(report: string): string[][] {
  const [, section] = report.split(`## End to end, underlay ${CONDITION}`);
  if (section === undefined) throw new Error(`the report has no table for the condition ${CONDITION}`);
  const lines = section.split('\n## ')[0]!.split('\n');
  return lines.filter(line => line.startsWith('|')).map(cellsOf);
}

/** Median of one contender, the number before the brackets. @throws Error when the report lacks it */
function medianOf(table: readonly string[][], row: string, column: string): number {
  const place = table[0]?.indexOf(column) ?? -1;
  const cell = table.find(([name]) => name === row)?.[place] ?? '';
  const value = Number.parseFloat(cell.replaceAll(',', ''));
  if (place < 0 || !Number.isFinite(value))
    throw new Error(`the report has no figure "${row}" of "${column}"`);
  return value;
}

function panelOf({ row, title, better }: Panel, table: readonly string[][], x: number, y: number): string {
  const values = CONTENDERS.map(({ column }) => medianOf(table, row, column));
  const scale = (PANEL_WIDTH - LEFT - 70) / Math.max(...values);
  const bars = CONTENDERS.flatMap(({ label, color }, index) => {
    const top = 34 + index * STEP;
    const width = (values[index]! * scale).toFixed(1);
    const end = (LEFT + values[index]! * scale + 6).toFixed(1);
    return [
      `<text x="${LEFT - 8}" y="${top + 15}" text-anchor="end">${label}</text>`,
      `<rect x="${LEFT}" y="${top}" width="${width}" height="${BAR}" fill="${color}"/>`,
      `<text x="${end}" y="${top + 15}">${values[index]}</text>`,
    ];
  });
  const head = `<text x="0" y="18" font-weight="bold">${title}</text><text x="${LEFT + 120}" y="18" fill="#595959">${better}</text>`;
  return `<g transform="translate(${x} ${y})">${head}${bars.join('')}</g>`;
}

/** The plot as an SVG file. @throws Error when the report lacks a figure */
export function plotOf(report: string): string {
  const table = tableOf(report);
  const panels = PANELS.map((panel, index) =>
    panelOf(panel, table, 16 + (index % 2) * PANEL_WIDTH, 8 + Math.floor(index / 2) * (PANEL_HEIGHT + 16)),
  );
  const [width, height] = [2 * PANEL_WIDTH + 32, 2 * (PANEL_HEIGHT + 16) + 8];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13">`,
    '<title>Ripstop, kernel VXLAN and other tunnels in user space, pod to pod</title>',
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...panels,
    '</svg>',
    '',
  ].join('\n');
}

/** One sentence with the machine and the run that the plot comes from. */
export function captionOf(report: string): string {
  const fact = (name: string) => new RegExp(`^- ${name}: (.*)$`, 'm').exec(report)?.[1] ?? 'unknown';
  return `Pod to pod, medians; ${fact('machine')}, Linux ${fact('kernel')}, Node ${fact('Node')}; Ripstop ${fact('Ripstop')}, ${fact('run').slice(0, 10)}.`;
}
