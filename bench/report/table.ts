import { cniTable } from './cni.ts';
import { cells, distinct, indexCells, labelOf, show } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';

const LABEL = 37;
const COLUMN = 14;
/** Contenders side by side in 80 columns. */
const ABREAST = 3;
/** What all are put in ratio to. */
const YARDSTICK = 'kernel';

/** All of a run as text, 80 columns wide: medians, and beside them the ratio to kernel VXLAN. */
export function formatRun(file: BenchFile): string {
  const parts = [
    formatHead(file),
    ...formatE2e(file),
    ...formatAlone(file),
    formatCni(file),
    formatMissing(file),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function formatHead({ versions, machine, began, seconds, inner, underlay, congestion }: BenchFile): string {
  return [
    `ripstop ${versions.ripstop} (${versions.commit ?? 'no commit'}), node ${versions.node}, kernel ${versions.kernel}`,
    `${machine.cores} cores, ${machine.processor}; ${began.slice(0, 16)}Z, ${Math.round(seconds)} s`,
    `inner IPv${inner}, underlay IPv${underlay}, ${congestion}; medians, in brackets the ratio to kernel VXLAN`,
  ].join('\n');
}

function formatE2e(file: BenchFile): string[] {
  const list = cells(file.samples, 'e2e');
  const find = indexCells(list);
  const figures = (Object.keys(FIGURES) as FigureId[]).filter(id => list.some(cell => cell.figure === id));
  const contenders = distinct(list, cell => cell.contender);
  return distinct(list, cell => cell.condition).flatMap(condition => {
    const blocks: string[] = [];
    for (let first = 0; first < contenders.length; first += ABREAST) {
      const abreast = contenders.slice(first, first + ABREAST);
      const titles = abreast
        .map(id =>
          labelOf(file, id)
            .slice(0, COLUMN - 1)
            .padStart(COLUMN),
        )
        .join('');
      const lines = [
        `underlay ${condition}`.padEnd(LABEL) + titles,
        '-'.repeat(LABEL + abreast.length * COLUMN),
      ];
      for (const figure of figures) {
        const yardstick = find(YARDSTICK, condition, figure)?.median;
        const row = abreast.map(id => {
          const median = find(id, condition, figure)?.median;
          if (median === undefined) return '-'.padStart(COLUMN);
          const ratio = yardstick && id !== YARDSTICK ? ` (${(median / yardstick).toFixed(2)})` : '       ';
          return `${show(figure, median)}${ratio}`.padStart(COLUMN);
        });
        const { title, unit } = FIGURES[figure];
        lines.push(`${title}, ${unit}`.padEnd(LABEL).slice(0, LABEL) + row.join(''));
      }
      blocks.push(lines.join('\n'));
    }
    return blocks;
  });
}

/** Micro and path benchmarks: one line a row. */
function formatAlone(file: BenchFile): string[] {
  return ['micro', 'path'].map(suite => {
    const list = cells(file.samples, suite);
    if (list.length === 0) return '';
    const find = indexCells(list);
    const figures = distinct(list, cell => cell.figure);
    const rows = distinct(list, cell => `${cell.contender}\n${cell.condition}`);
    const titles = figures.map(id => FIGURES[id]);
    const lines = rows.map(key => {
      const [contender = '', condition = ''] = key.split('\n');
      const values = figures.map(id => {
        const cell = find(contender, condition, id);
        return cell ? show(id, cell.median) : '-';
      });
      const columns = values.map(value => value.padStart(SUITE_COLUMN)).join('');
      return `${`${contender}${condition ? `, ${condition}` : ''}`.padEnd(SUITE_LABEL)}${columns}`;
    });
    const head = titles.map(({ unit }) => (unit || 'GCs').padStart(SUITE_COLUMN)).join('');
    return [
      suite.padEnd(SUITE_LABEL) + head,
      '-'.repeat(SUITE_LABEL + figures.length * SUITE_COLUMN),
      ...lines,
    ].join('\n');
  });
}
const SUITE_LABEL = 39;
const SUITE_COLUMN = 10;

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
