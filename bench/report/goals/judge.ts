import { isCallDear } from '../../e2e/machine-class.ts';
import { cells, indexCells, labelOf, show, showRatio } from '../rows.ts';
import { type BenchFile, FIGURES } from '../samples.ts';
import { type Goal, PODS_BESIDE, type Reached } from './goal.ts';
import { GOALS } from './goals.ts';

/** On a machine that is busier than this all costs are high, and say nothing about the machine. */
const BUSY = 0.1;

const SUITES = ['e2e', 'path', 'update', 'scale', 'soak'];

export interface GoalResult extends Goal, Reached {
  /** What is required on the machine of this run. */
  must: number;
  moonshot?: number | undefined;
  met: boolean;
  /** The moonshot was reached as well. */
  beyond: boolean;
}

/** The goals for which all that they take was measured. */
export function judgeGoals(file: BenchFile): GoalResult[] {
  const find = indexCells(SUITES.flatMap(suite => cells(file.samples, suite)));
  const isDear = (file.busyBefore ?? 0) <= BUSY && isCallDear(file.machine.charges);
  return GOALS.flatMap(goal => {
    const reached = goal.reach(find);
    if (!reached) return [];
    const { must, moonshot } = (isDear && goal.dear) || goal.bound;
    const passes = (bound: number) =>
      goal.direction === 'at least' ? reached.value >= bound : reached.value <= bound;
    const beyond = moonshot !== undefined && passes(moonshot);
    return [{ ...goal, ...reached, must, moonshot, met: passes(must), beyond }];
  });
}

/** `≥ 0.85` */
const boundText = ({ direction }: Goal, bound: number) => `${direction === 'at least' ? '≥' : '≤'} ${bound}`;

/** What was reached, what was to be, and how that went: `0.61 (≥ 1.1; moonshot ≥ 1.5) missed`. */
export function verdictOf(file: BenchFile, goal: GoalResult): string {
  const { value, figure, of, beside, met, must, moonshot, beyond } = goal;
  const unit = figure && FIGURES[figure].unit ? ` ${FIGURES[figure].unit}` : '';
  const reached = figure ? show(figure, value) : showRatio(value);
  const rival = of.at(-1)!;
  const named = figure || rival === beside || beside === PODS_BESIDE ? '' : `, ${labelOf(file, rival)}`;
  const more =
    moonshot === undefined ? '' : `; moonshot ${boundText(goal, moonshot)}${beyond ? ' reached' : ''}`;
  return `${reached}${unit} (${boundText(goal, must)}${named}${more}) ${met ? 'met' : 'missed'}`;
}
