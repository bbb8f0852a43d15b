import { CONDITION_TEXTS, type LabCondition } from '../../src/lab/topology.ts';
import { cniTable } from './cni.ts';
import { FLATTERED } from './conditions.ts';
import { type GoalResult, judgeGoals, verdictOf } from './goals/judge.ts';
import { apart, type Cell, cells, distinct, indexCells, labelOf, rivalsOf, show } from './rows.ts';
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
    ...goals(file),
    ...conditions(e2e),
    ...endToEnd(e2e, file),
    ...Object.entries(ALONE).flatMap(([suite, title]) => alone(file, suite, title)),
    ...cni(file),
    ...missing(file),
  ];
}

/** Goals by condition of the underlay in one table, the others in a second one. */
function goals(file: BenchFile): Table[] {
  const judged = judgeGoals(file);
  if (judged.length === 0) return [];
  const met = judged.filter(goal => goal.met).length;
  const far = judged.filter(({ moonshot }) => moonshot !== undefined);
  const moonshots =
    far.length === 0 ? '' : `; moonshots: ${far.filter(goal => goal.beyond).length} of ${far.length} reached`;
  const title = `Goals: ${met} of ${judged.length} met${moonshots}`;
  const names = ({ title: what, who, beside }: GoalResult) => [
    what,
    [who, beside]
      .filter(Boolean)
      .map(id => labelOf(file, id))
      .join(' / '),
  ];
  const measured = new Set(cells(file.samples, 'e2e').map(cell => cell.condition));
  const underlay = judged.filter(({ condition }) => measured.has(condition));
  const conditions = [...measured].filter(condition => underlay.some(goal => goal.condition === condition));
  const rows = distinct(underlay, goal => names(goal).join('\n')).map(key => {
    const own = underlay.filter(goal => names(goal).join('\n') === key);
    const at = (condition: string) => own.find(goal => goal.condition === condition);
    return [...key.split('\n'), ...conditions.map(c => (at(c) ? verdictOf(file, at(c)!) : ''))];
  });
  const others = judged.filter(goal => !underlay.includes(goal));
  return [
    { title, head: ['end to end', 'of', ...conditions], rows },
    {
      title: 'Further goals',
      head: ['figure', 'of', 'where', 'reached'],
      rows: others.map(goal => [...names(goal), goal.condition, verdictOf(file, goal)]),
    },
  ].filter(table => table.rows.length > 0);
}

/** What the conditions of a run are, and whom each flatters. */
function conditions(list: readonly Cell[]): Table[] {
  const rows = distinct(list, cell => cell.condition).map(condition => {
    const { who, why } = FLATTERED[condition as LabCondition] ?? { who: '', why: '' };
    return [condition, CONDITION_TEXTS[condition as LabCondition] ?? '', who, why];
  });
  const head = ['condition', 'underlay', 'flatters', 'why'];
  return rows.length === 0 ? [] : [{ title: 'Conditions of the underlay', head, rows }];
}

/** By condition the tunnels that do not encrypt, then those that do. */
function endToEnd(list: readonly Cell[], file: BenchFile): Table[] {
  return distinct(list, cell => cell.condition).flatMap(condition => {
    const own = list.filter(cell => cell.condition === condition);
    const [open, sealed] = apart(file, own);
    const name = `End to end, underlay ${condition}`;
    return [
      ...inCondition(open, file, condition, `${name}: ${CONDITION_TEXTS[condition as LabCondition]}`),
      ...inCondition(sealed, file, condition, `${name}, sealed: tunnels that encrypt`),
    ];
  });
}

function inCondition(list: readonly Cell[], file: BenchFile, condition: string, title: string): Table[] {
  if (list.length === 0) return [];
  const find = indexCells(list);
  const contenders = distinct(list, cell => cell.contender);
  const figures = (Object.keys(FIGURES) as FigureId[]).filter(id => list.some(cell => cell.figure === id));
  const table = {
    title,
    head: ['', ...contenders.map(id => labelOf(file, id))],
    rows: figures.map(figure => [
      `${FIGURES[figure].title.trim()}, ${FIGURES[figure].unit}`,
      ...contenders.map(id => {
        const cell = find(id, condition, figure);
        return cell ? spread(cell) : '-';
      }),
    ]),
  };
  return [table];
}

/** Suites with one line per row, and what they show. */
const ALONE = {
  audit:
    'Where UDP packets were lost, of those that entered the first node (`ripstop drops --audit` at both nodes)',
  threads: 'CPU time by thread, TCP, 1 stream; the first node sends',
  soak: 'Garbage collections in the threads that carry packets, under traffic of all kinds',
  churn: 'Agents whose leases, pods, settings and store change all the time',
  path: 'The forwarder alone, one direction in one thread',
  update: 'One direction of the forwarder while another thread publishes all peers repeatedly',
  scale: 'A node by its number of peers',
  sizing: 'What an agent needs, by nodes of the cluster',
  traffic: 'CPU time of an agent by what it carries',
  micro: 'Single operations',
};

function alone(file: BenchFile, suite: string, title: string): Table[] {
  const list = cells(file.samples, suite);
  if (list.length === 0) return [];
  const find = indexCells(list);
  const figures = distinct(list, cell => cell.figure);
  const rows = distinct(list, cell => `${cell.contender}\n${cell.condition}`).map(key => {
    const [contender = '', condition = ''] = key.split('\n');
    return [
      labelOf(file, contender),
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
export function facts(file: BenchFile): [string, string][] {
  const { versions, machine, began, seconds, inner, underlay, congestion, busyBefore, joined } = file;
  const rivals = rivalsOf(file);
  return [
    ['Ripstop', `${versions.ripstop}, commit ${versions.commit ?? 'unknown'}`],
    ['machine', `${machine.cores} cores, ${machine.processor}`],
    ['kernel', versions.kernel],
    ['Node', versions.node],
    ['iperf3', versions.iperf3 ?? 'none'],
    ...(rivals === '' ? [] : [['other tunnels', rivals] as [string, string]]),
    ['families', `inner IPv${inner}, underlay IPv${underlay}`],
    ['congestion control', congestion],
    ...(busyBefore === undefined
      ? []
      : [['busy before the run', `${(busyBefore * 100).toFixed(0)} % of the cores`] as [string, string]]),
    ...(joined ?? []).map(({ suites, began: at, commit }): [string, string] => [
      suites.join(', '),
      `${at.slice(0, 16).replace('T', ' ')} UTC, commit ${commit}`,
    ]),
    ['run', `${began.slice(0, 16).replace('T', ' ')} UTC, ${Math.round(seconds)} s`],
    ['figures', 'medians; in brackets the smallest and the largest sample'],
  ];
}
