import { CHANCE, FEWEST, LEAST_CHANGE } from './compare.ts';
import { type Cell, cells, indexCells, labelOf, show, showRatio } from './rows.ts';
import { type BenchFile, FIGURES, type FigureId } from './samples.ts';
import { mannWhitney } from './statistics.ts';

type Find = (contender: string, condition: string, figure: FigureId) => Cell | undefined;

/** What is to be reached. */
export interface Goal {
  title: string;
  /** What is compared with what: ids of contenders, or names. */
  who: string;
  beside: string;
  condition: string;
  direction: 'at least' | 'at most';
  bound: number;
  /** What the value is when it is no ratio. */
  figure?: FigureId;
  /** Undefined when something that it takes was not measured. */
  reach(find: Find): Reached | undefined;
}

interface Reached {
  value: number;
  /** Ids or names of what was divided by what. */
  of: readonly string[];
}

const SUITES = ['e2e', 'path', 'update', 'scale', 'soak'];
const OWN = 'vxlan';
const CONDITIONS = ['def', 'wire', 'wiregro', 'wirecs'];
/** The other tunnels in user space that do without a cipher; the goal compares with the fastest of them. */
const OTHERS = ['vde', 'openvswitch', 'fastd', 'openvpn', 'tinc'];

function ratio(own: Cell | undefined, rival: Cell | undefined): Reached | undefined {
  if (!own || !rival || rival.median === 0) return undefined;
  return { value: own.median / rival.median, of: [own.contender, rival.contender] };
}

function fastest(find: Find, ids: readonly string[], condition: string, figure: FigureId): Cell | undefined {
  const found = ids.flatMap(id => find(id, condition, figure) ?? []);
  return found.sort((a, b) => b.median - a.median)[0];
}

const over = (
  figure: FigureId,
  condition: string,
  bound: number,
  rivals: readonly string[] = ['kernel'],
  own = OWN,
): Goal => ({
  title: FIGURES[figure].title,
  who: own,
  beside: rivals.length === 1 ? rivals[0]! : 'fastest other tunnel',
  condition,
  direction: FIGURES[figure].better === 'more' ? 'at least' : 'at most',
  bound,
  reach: find => ratio(find(own, condition, figure), fastest(find, rivals, condition, figure)),
});

const PODS_BESIDE = 'the same, nodes';
/** What the bridges of the pods cost the ratio to the kernel. */
const pods = (figure: 'tcp1' | 'tcp4', condition: string): Goal => ({
  title: `${FIGURES[figure].title}, pods to nodes`,
  who: 'ratio to the kernel, pods',
  beside: PODS_BESIDE,
  condition,
  direction: 'at least',
  bound: 1,
  reach(find) {
    const between = (id: FigureId) => ratio(find(OWN, condition, id), find('kernel', condition, id));
    const [pod, node] = [between(figure), between(`${figure}node`)];
    return pod && node ? { value: pod.value / node.value, of: ['ratio, pods', 'ratio, nodes'] } : undefined;
  },
});

/** Two contenders between which no difference can be measured (docs/decisions/0043): the probability of what was measured if there is none. */
const same = (figure: FigureId, condition: string, own: string, rival: string): Goal => ({
  title: `${FIGURES[figure].title}, probability without a difference`,
  who: own,
  beside: rival,
  condition,
  direction: 'at least',
  bound: CHANCE,
  reach(find) {
    const [a, b] = [find(own, condition, figure), find(rival, condition, figure)];
    if (!a || !b || Math.min(a.values.length, b.values.length) < FEWEST) return undefined;
    const isSmall = Math.abs(a.median / b.median - 1) < LEAST_CHANGE;
    return { value: isSmall ? 1 : mannWhitney(a.values, b.values), of: [own, rival] };
  },
});

/** How little one row of the path suite may differ from another. */
const flat = (contender: string, condition: string, than: string, bound: number): Goal => ({
  title: FIGURES.nsPerFrame.title,
  who: condition,
  beside: than,
  condition: contender,
  direction: 'at most',
  bound,
  reach(find) {
    const cost = ratio(find(contender, condition, 'nsPerFrame'), find(contender, than, 'nsPerFrame'));
    return cost && { value: cost.value, of: [condition, than] };
  },
});

const absolute = (figure: FigureId, contender: string, condition: string, bound: number): Goal => ({
  title: FIGURES[figure].title,
  who: contender,
  beside: '',
  condition,
  direction: 'at most',
  bound,
  figure,
  reach(find) {
    const cell = find(contender, condition, figure);
    return cell && { value: cell.max, of: [contender] };
  },
});

const everywhere = (goal: (condition: string) => Goal): Goal[] => CONDITIONS.map(goal);
/** Noise of a row of the path suite on a quiet machine, and what a look at one flag may cost. */
const FLAT = 1.25;
const UNSEEN = 1.05;

/** The goals that the project set itself. Where nothing else is said: pod to pod, behind bridges on both sides. */
export const GOALS: readonly Goal[] = [
  ...(['tcp1node', 'tcp1'] as const).flatMap(figure => [
    over(figure, 'wirecs', 1.1),
    over(figure, 'wiregro', 1.0),
    over(figure, 'wire', 0.9),
    over(figure, 'def', 0.9),
  ]),
  ...(['tcp4node', 'tcp4'] as const).flatMap(figure => [
    over(figure, 'wirecs', 1.0),
    over(figure, 'def', 0.6),
  ]),
  ...everywhere(condition => pods('tcp1', condition)),
  pods('tcp4', 'wirecs'),
  pods('tcp4', 'def'),
  ...everywhere(condition => over('udp64x1', condition, 2.0)),
  ...everywhere(condition => over('udp64x8', condition, 1.5)),
  ...everywhere(condition => over('rr50', condition, 1.0)),
  ...everywhere(condition => over('rr99', condition, 1.3)),
  over('cpu', 'wirecs', 1.1),
  // The commonest card.
  over('tcp1', 'nic', 0.85),
  over('tcp4', 'nic', 0.9),
  over('cpu', 'nic', 1.15),
  over('udp64x1', 'nic', 2.0),
  over('rr50', 'nic', 0.75),
  over('rr99', 'nic', 1.0),
  over('connections', 'nic', 0.95),
  ...everywhere(condition => over('tcp1', condition, 10, ['one-call'])),
  ...everywhere(condition => over('tcp1', condition, 6, OTHERS)),
  ...everywhere(condition => over('udp64x1', condition, 2, OTHERS)),
  ...everywhere(condition => over('tcp1', condition, 60, ['naive-node'])),
  ...everywhere(condition => over('udp64x1', condition, 20, ['naive-node'])),
  absolute('collections', OWN, '600 s', 0),
  ...(['egress, vxlan', 'ingress, vxlan', 'egress, udp', 'ingress, udp'] as const).map(row =>
    flat(row, '1000 peers', '2 peers', FLAT),
  ),
  absolute('residentMb', 'a node', '1000 peers', 200),
  absolute('takeoverLost', 'a move', "from flannel's device", 5),
  absolute('createdS', 'an agent', '2000 nodes in 5 s', 6),
  absolute('createdCpuS', 'an agent', '2000 nodes in 5 s', 3),
  absolute('oneMs', 'an agent', '2000 nodes in 5 s', 1000),
  absolute('peakMb', 'an agent', '2000 nodes in 5 s', 200),
  absolute('afterMb', 'an agent', '2000 nodes in 5 s', 140),
  absolute('stallUs', 'tables published', '1000 peers', 1000),
  absolute('gapUs', 'tables published', '1000 peers', 1000),
  ...(['egress, vxlan', 'ingress, vxlan'] as const).map(row =>
    flat(row, '2 peers, capture off', '2 peers', UNSEEN),
  ),
  ...everywhere(condition => over('tcp1', condition, 0.8, [OWN], 'capture')),
  ...(['tcp1', 'udp64x1'] as const).flatMap(figure => [
    ...everywhere(condition => over(figure, condition, 0.98, ['no-recorder'])),
    ...everywhere(condition => over(figure, condition, 0.9, ['no-recorder'], 'recorder')),
    ...everywhere(condition => same(figure, condition, 'audit', 'no-audit')),
  ]),
];

export interface GoalResult extends Goal, Reached {
  met: boolean;
}

/** The goals for which all that they take was measured. */
export function judgeGoals(file: BenchFile): GoalResult[] {
  const find = indexCells(SUITES.flatMap(suite => cells(file.samples, suite)));
  return GOALS.flatMap(goal => {
    const reached = goal.reach(find);
    if (!reached) return [];
    const met = goal.direction === 'at least' ? reached.value >= goal.bound : reached.value <= goal.bound;
    return [{ ...goal, ...reached, met }];
  });
}

/** What was reached, what was to be, and how that went: `0.61 (≥ 1.1) missed`. */
export function verdictOf(
  file: BenchFile,
  { direction, bound, value, figure, of, beside, met }: GoalResult,
): string {
  const unit = figure && FIGURES[figure].unit ? ` ${FIGURES[figure].unit}` : '';
  const reached = figure ? show(figure, value) : showRatio(value);
  const rival = of.at(-1)!;
  const named = figure || rival === beside || beside === PODS_BESIDE ? '' : `, ${labelOf(file, rival)}`;
  return `${reached}${unit} (${direction === 'at least' ? '≥' : '≤'} ${bound}${named}) ${met ? 'met' : 'missed'}`;
}
