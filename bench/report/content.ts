import { cniTable } from './cni.ts';
import { judgeGoals } from './goals.ts';
import { type Cell, cells, distinct, indexCells, labelOf, show } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';

/** A table as HTML and Markdown both have it: plain text in cells. */
export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

/** Median, and behind it the smallest and largest sample. */
function spread({ figure, median, min, max, count }: Cell): string {
  if (count === 1) return show(figure, median);
  return `${show(figure, median)} (${show(figure, min)} to ${show(figure, max)})`;
}

/** Every table of a report, in order. */
export function tables(file: BenchFile): Table[] {
  const e2e = cells(file.samples, 'e2e');
  return [
    ...goals(e2e, file),
    ...endToEnd(e2e, file),
    ...alone(file, 'path'),
    ...alone(file, 'micro'),
    ...cni(file),
    ...missing(file),
  ];
}

function goals(list: readonly Cell[], file: BenchFile): Table[] {
  const judged = judgeGoals(list);
  if (judged.length === 0) return [];
  const rows = judged.map(goal => [
    FIGURES[goal.figure].title,
    goal.condition,
    `${labelOf(file, goal.contender)} / ${labelOf(file, goal.rival)}`,
    `${goal.direction} ${goal.bound}`,
    goal.ratio.toFixed(2),
    goal.met ? 'met' : 'missed',
  ]);
  const met = judged.filter(goal => goal.met).length;
  return [
    {
      title: `Goals: ${met} of ${judged.length} met`,
      head: ['figure', 'condition', 'ratio of', 'goal', 'reached', ''],
      rows,
    },
  ];
}

function endToEnd(list: readonly Cell[], file: BenchFile): Table[] {
  const find = indexCells(list);
  const contenders = distinct(list, cell => cell.contender);
  const figures = (Object.keys(FIGURES) as FigureId[]).filter(id => list.some(cell => cell.figure === id));
  return distinct(list, cell => cell.condition).map(condition => ({
    title: `Pod to pod, underlay ${condition}`,
    head: ['', ...contenders.map(id => labelOf(file, id))],
    rows: figures.map(figure => [
      `${FIGURES[figure].title.trim()}, ${FIGURES[figure].unit}`,
      ...contenders.map(id => {
        const cell = find(id, condition, figure);
        return cell ? spread(cell) : '-';
      }),
    ]),
  }));
}

function alone(file: BenchFile, suite: 'micro' | 'path'): Table[] {
  const list = cells(file.samples, suite);
  if (list.length === 0) return [];
  const find = indexCells(list);
  const figures = distinct(list, cell => cell.figure);
  const title = suite === 'micro' ? 'Single operations' : 'The forwarder alone, one direction in one thread';
  const rows = distinct(list, cell => `${cell.contender}\n${cell.condition}`).map(key => {
    const [contender = '', condition = ''] = key.split('\n');
    return [
      contender,
      condition,
      ...figures.map(id => {
        const cell = find(contender, condition, id);
        // Tens of samples: the extremes of so many say little.
        return cell ? (suite === 'micro' ? show(id, cell.median) : spread(cell)) : '-';
      }),
    ];
  });
  const head = [
    '',
    'size',
    ...figures.map(id => `${FIGURES[id].title}${FIGURES[id].unit ? `, ${FIGURES[id].unit}` : ''}`),
  ];
  return [{ title, head, rows }];
}

function cni(file: BenchFile): Table[] {
  const table = cniTable(file);
  return table ? [{ title: 'Wiring a pod: whole ADD and DEL, milliseconds', ...table }] : [];
}

function missing(file: BenchFile): Table[] {
  if (file.missing.length === 0) return [];
  const rows = file.missing.map(({ contender, condition, figure, reason }) => [
    labelOf(file, contender),
    condition,
    figure,
    reason.split('\n')[0]!,
  ]);
  return [{ title: 'Not measured', head: ['contender', 'condition', 'figure', 'reason'], rows }];
}

/** Where, when and what, as pairs. */
export function facts({
  versions,
  machine,
  began,
  seconds,
  inner,
  underlay,
  congestion,
}: BenchFile): [string, string][] {
  return [
    ['Ripstop', `${versions.ripstop}, commit ${versions.commit ?? 'unknown'}`],
    ['machine', `${machine.cores} cores, ${machine.processor}`],
    ['kernel', versions.kernel],
    ['Node', versions.node],
    ['iperf3', versions.iperf3 ?? 'none'],
    ['families', `inner IPv${inner}, underlay IPv${underlay}`],
    ['congestion control', congestion],
    ['run', `${began.slice(0, 16).replace('T', ' ')} UTC, ${Math.round(seconds)} s`],
    ['figures', 'medians; in brackets the smallest and the largest sample'],
  ];
}
