import { type Cell, distinct, indexCells } from './rows.ts';
import type { FigureId } from './samples.ts';

/** What is to be reached: `contender` over `rival`, as a ratio of medians. */
export interface Goal {
  what: string;
  contender: string;
  rival: string;
  condition: string;
  figure: FigureId;
  /** The ratio must be at least (figures where more is better) or at most this. */
  bound: number;
  direction: 'at least' | 'at most';
}

const atLeast = (figure: FigureId, condition: string, bound: number, rival = 'kernel'): Goal => ({
  what: `over ${rival}`,
  contender: 'vxlan',
  rival,
  condition,
  figure,
  bound,
  direction: 'at least',
});
const atMost = (figure: FigureId, condition: string, bound: number): Goal => ({
  ...atLeast(figure, condition, bound),
  direction: 'at most',
});

/** The other tunnels in user space that do without a cipher; the goal counts against whoever of them is fastest. */
const OTHERS = ['vde', 'openvswitch', 'fastd', 'openvpn', 'tinc'];
const FASTEST = 'fastest other';

const CONDITIONS = ['def', 'wire', 'wiregro', 'wirecs'];

/** The goals that the project set itself, pods behind their bridges on both sides. */
export const GOALS: readonly Goal[] = [
  atLeast('tcp1', 'wirecs', 1.1),
  atLeast('tcp1', 'wiregro', 1.0),
  atLeast('tcp1', 'wire', 0.9),
  atLeast('tcp1', 'def', 0.9),
  atLeast('tcp4', 'wirecs', 1.0),
  atLeast('tcp4', 'def', 0.6),
  ...CONDITIONS.map(condition => atLeast('udp64x1', condition, 2.0)),
  ...CONDITIONS.map(condition => atLeast('udp64x8', condition, 1.5)),
  ...CONDITIONS.map(condition => atMost('rr50', condition, 1.0)),
  ...CONDITIONS.map(condition => atMost('rr99', condition, 1.3)),
  atMost('cpu', 'wirecs', 1.1),
  ...CONDITIONS.map(condition => atLeast('tcp1', condition, 10, 'one-call')),
  ...CONDITIONS.map(condition => atLeast('tcp1', condition, 6, FASTEST)),
  ...CONDITIONS.map(condition => atLeast('udp64x1', condition, 2, FASTEST)),
  ...CONDITIONS.map(condition => atLeast('tcp1', condition, 60, 'naive-node')),
  ...CONDITIONS.map(condition => atLeast('udp64x1', condition, 20, 'naive-node')),
];

export interface GoalResult extends Goal {
  ratio: number;
  met: boolean;
}

/** The goals for which both sides were measured. */
export function judgeGoals(list: readonly Cell[]): GoalResult[] {
  const find = indexCells(list);
  const conditions = new Set(distinct(list, cell => cell.condition));
  return GOALS.filter(goal => conditions.has(goal.condition)).flatMap(goal => {
    const own = find(goal.contender, goal.condition, goal.figure);
    const rivals = goal.rival === FASTEST ? OTHERS : [goal.rival];
    const rival = rivals
      .flatMap(id => find(id, goal.condition, goal.figure) ?? [])
      .reduce<Cell | undefined>(
        (best, cell) => (best && best.median >= cell.median ? best : cell),
        undefined,
      );
    if (!own || !rival || rival.median === 0) return [];
    const ratio = own.median / rival.median;
    return [
      {
        ...goal,
        rival: rival.contender,
        ratio,
        met: goal.direction === 'at least' ? ratio >= goal.bound : ratio <= goal.bound,
      },
    ];
  });
}
