import { machineWords } from '../e2e/machine-words.ts';
import { verdictOfChurn } from '../soak/verdict.ts';
import { cniTable } from './cni.ts';
import { flatteryOf } from './conditions.ts';
import { judgeGoals } from './goals/judge.ts';
import { apart, type Cell, cells, distinct, indexCells, labelOf, rivalsOf, show, showRatio } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';

const LABEL = 37;
const COLUMN = 14;
/** Contenders side by side in 80 columns. */
const ABREAST = 3;
/** Suites with one line per row. */
const ALONE = ['audit', 'threads', 'micro', 'path', 'update', 'scale', 'sizing', 'traffic', 'soak', 'churn'];
/** What all are put in ratio to. */
const YARDSTICK = 'kernel';

/** All of a run as text, 80 columns wide: medians, and the ratio to kernel VXLAN. */
export function formatRun(file: BenchFile): string {
  const parts = [
    formatHead(file),
    ...formatE2e(file),
    ...formatAlone(file),
    formatCni(file),
    verdictOfChurn(file),
    formatMissing(file),
    formatGoals(file),
    machineWords(file),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function formatHead(file: BenchFile): string {
  const { versions, machine, began, seconds, inner, underlay, congestion } = file;
  const rivals = rivalsOf(file);
  return [
    `ripstop ${versions.ripstop} (${versions.commit ?? 'no commit'}), node ${versions.node}, kernel ${versions.kernel}`,
    `${machine.cores} cores, ${machine.processor}; ${began.slice(0, 16)}Z, ${Math.round(seconds)} s`,
    `inner IPv${inner}, underlay IPv${underlay}, ${congestion}; medians, in brackets the ratio to kernel VXLAN`,
    ...(rivals === '' ? [] : [rivals]),
  ].join('\n');
}

/** By condition the tunnels that do not encrypt, then those that do. */
function formatE2e(file: BenchFile): string[] {
  const list = cells(file.samples, 'e2e');
  const find = indexCells(list);
  return distinct(list, cell => cell.condition).flatMap(condition => {
    const yardstick = (figure: FigureId) => find(YARDSTICK, condition, figure)?.median;
    const own = list.filter(cell => cell.condition === condition);
    const [open, sealed] = apart(file, own);
    const blocks = [
      ...blocksOf(open, file, `underlay ${condition}`, yardstick),
      ...blocksOf(sealed, file, `underlay ${condition}, sealed`, () => undefined),
    ];
    return [flatteryOf(condition) === '' ? '' : `${condition} ${flatteryOf(condition)}`, ...blocks];
  });
}

/** Contenders side by side, as many as fit, with the figures that any of them has. @param yardstick what a ratio is to */
function blocksOf(
  list: readonly Cell[],
  file: BenchFile,
  title: string,
  yardstick: (figure: FigureId) => number | undefined,
): string[] {
  const contenders = distinct(list, cell => cell.contender);
  const blocks: string[] = [];
  for (let first = 0; first < contenders.length; first += ABREAST) {
    const abreast = contenders.slice(first, first + ABREAST);
    const shown = list.filter(({ contender }) => abreast.includes(contender));
    const titles = abreast
      .map(id =>
        labelOf(file, id)
          .slice(0, COLUMN - 1)
          .padStart(COLUMN),
      )
      .join('');
    const lines = [title.padEnd(LABEL) + titles, '-'.repeat(LABEL + abreast.length * COLUMN)];
    for (const figure of (Object.keys(FIGURES) as FigureId[]).filter(id =>
      shown.some(cell => cell.figure === id),
    )) {
      const base = yardstick(figure);
      const row = abreast.map(id => {
        const median = shown.find(cell => cell.contender === id && cell.figure === figure)?.median;
        if (median === undefined) return '-'.padStart(COLUMN);
        const ratio = base && id !== YARDSTICK ? ` (${showRatio(median / base)})` : '       ';
        return `${show(figure, median)}${ratio}`.padStart(COLUMN);
      });
      const { title: name, unit } = FIGURES[figure];
      lines.push(`${name}, ${unit}`.padEnd(LABEL).slice(0, LABEL) + row.join(''));
    }
    blocks.push(lines.join('\n'));
  }
  return blocks;
}

/** Suites without conditions: one line per row, columns as wide as needed. */
function formatAlone(file: BenchFile): string[] {
  return ALONE.map(suite => {
    const list = cells(file.samples, suite);
    if (list.length === 0) return '';
    const find = indexCells(list);
    const figures = distinct(list, cell => cell.figure);
    const rows = distinct(list, cell => `${cell.contender}\n${cell.condition}`).map(key => {
      const [contender = '', condition = ''] = key.split('\n');
      const values = figures.map(id => {
        const cell = find(contender, condition, id);
        return cell ? show(id, cell.median) : '-';
      });
      return [[labelOf(file, contender), condition].filter(Boolean).join(', '), ...values];
    });
    return columns([[suite, ...figures.map(id => FIGURES[id].short ?? FIGURES[id].unit)], ...rows]);
  });
}

/** Text in columns, the first `left` of them to the left; a line below the head. */
function columns(rows: readonly (readonly string[])[], left = 1): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map(row => row[i]!.length)));
  const cell = (text: string, i: number) => (i < left ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  const [head, ...body] = rows.map(row => row.map(cell).join('  '));
  return [head, '-'.repeat(head!.length), ...body].join('\n');
}

/** Wiring a pod: its own columns, since here the slowest of many counts. */
function formatCni(file: BenchFile): string {
  const table = cniTable(file);
  if (table === undefined) return '';
  const line = ([label = '', ...values]: string[]) =>
    label.padEnd(CNI_LABEL) + values.map(v => v.padStart(7)).join('');
  return [line(table.head), '-'.repeat(80), ...table.rows.map(line)].join('\n');
}
const CNI_LABEL = 45;

function formatMissing({ missing, labels }: BenchFile): string {
  if (missing.length === 0) return '';
  const lines = missing.map(({ contender, condition, figure, reason }) => {
    const where = [labels[contender] ?? contender, condition, figure].filter(Boolean).join(', ');
    return `  ${where}: ${reason.split('\n')[0]}`;
  });
  return ['not measured:', ...lines].join('\n');
}

/** How many, and each of the missed ones. */
function formatGoals(file: BenchFile): string {
  const judged = judgeGoals(file);
  if (judged.length === 0) return '';
  const missed = judged.filter(({ met }) => !met);
  const rows = missed.map(goal => {
    const { title, condition, beside, direction, must, value, figure } = goal;
    const sign = direction === 'at least' ? '>=' : '<=';
    const reached = figure ? show(figure, value) : showRatio(value);
    return [
      title.slice(0, 29),
      condition.slice(0, 14),
      labelOf(file, beside).slice(0, 20),
      `${sign} ${must}`,
      reached,
    ];
  });
  const beyond = judged.filter(goal => goal.beyond).length;
  const count = `goals: ${judged.length - missed.length} of ${judged.length} met; moonshots reached: ${beyond}`;
  return missed.length === 0
    ? count
    : `${count}\n\n${columns([['missed', 'where', 'over', 'goal', ''], ...rows], 3)}`;
}
