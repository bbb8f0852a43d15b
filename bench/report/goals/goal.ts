import { mannWhitney } from '../../../src/measure/figures/statistics.ts';
import { CHANCE, FEWEST, LEAST_CHANGE } from '../compare.ts';
import type { Cell } from '../rows.ts';
import { FIGURES, type FigureId } from '../samples.ts';

export type Find = (contender: string, condition: string, figure: FigureId) => Cell | undefined;

/** What must be reached, and what would be better than anyone expects. */
export interface Bound {
  must: number;
  moonshot?: number;
}

/** What is to be reached. */
export interface Goal {
  title: string;
  /** What is compared with what: ids of contenders, or names. */
  who: string;
  beside: string;
  condition: string;
  direction: 'at least' | 'at most';
  bound: Bound;
  /** Where a system call is dear, when the bound differs there (`machine-class.ts`). */
  dear?: Bound;
  /** What the value is when it is no ratio. */
  figure?: FigureId;
  /** Undefined when something that it takes was not measured. */
  reach(find: Find): Reached | undefined;
}

export interface Reached {
  value: number;
  /** Ids or names of what was divided by what. */
  of: readonly string[];
}

/** A bound as the list of goals writes it: what must be reached, or that and the moonshot. */
export type Bounds = number | readonly [must: number, moonshot: number];

const boundOf = (bounds: Bounds): Bound =>
  typeof bounds === 'number' ? { must: bounds } : { must: bounds[0], moonshot: bounds[1] };

export const OWN = 'vxlan';

function ratio(own: Cell | undefined, rival: Cell | undefined): Reached | undefined {
  if (!own || !rival || rival.median === 0) return undefined;
  return { value: own.median / rival.median, of: [own.contender, rival.contender] };
}

function largest(cells: readonly (Cell | undefined)[]): Cell | undefined {
  return cells.filter(cell => cell !== undefined).sort((a, b) => b.median - a.median)[0];
}

const directionOf = (figure: FigureId) => (FIGURES[figure].better === 'more' ? 'at least' : 'at most');

interface OverOptions {
  /** The fastest of them counts. */
  rivals?: readonly string[];
  own?: string;
  dear?: Bounds;
}

/** A ratio of medians. */
export const over = (
  figure: FigureId,
  condition: string,
  bounds: Bounds,
  { rivals = ['kernel'], own = OWN, dear }: OverOptions = {},
): Goal => ({
  title: FIGURES[figure].title,
  who: own,
  beside: rivals.length === 1 ? rivals[0]! : 'fastest other tunnel',
  condition,
  direction: directionOf(figure),
  bound: boundOf(bounds),
  ...(dear === undefined ? {} : { dear: boundOf(dear) }),
  reach: find =>
    ratio(find(own, condition, figure), largest(rivals.map(rival => find(rival, condition, figure)))),
});

/** A figure over the best of others of the same contender. @param rival what the others are called */
export const overOwn = (
  figure: FigureId,
  condition: string,
  must: number,
  others: readonly FigureId[],
  rival: string,
): Goal => ({
  title: FIGURES[figure].title,
  who: OWN,
  beside: rival,
  condition,
  direction: directionOf(figure),
  bound: { must },
  reach(find) {
    const best = ratio(find(OWN, condition, figure), largest(others.map(id => find(OWN, condition, id))));
    return best && { value: best.value, of: [OWN, rival] };
  },
});

export const PODS_BESIDE = 'the same, nodes';
/** What the bridges of the pods cost the ratio to the kernel. */
export const pods = (figure: 'tcp1' | 'tcp4', condition: string): Goal => ({
  title: `${FIGURES[figure].title}, pods to nodes`,
  who: 'ratio to the kernel, pods',
  beside: PODS_BESIDE,
  condition,
  direction: 'at least',
  bound: { must: 1 },
  reach(find) {
    const between = (id: FigureId) => ratio(find(OWN, condition, id), find('kernel', condition, id));
    const [pod, node] = [between(figure), between(`${figure}node`)];
    return pod && node ? { value: pod.value / node.value, of: ['ratio, pods', 'ratio, nodes'] } : undefined;
  },
});

/** Two contenders between which no difference can be measured (docs/decisions/0043): the probability of what was measured if there is none. */
export const same = (figure: FigureId, condition: string, own: string, rival: string): Goal => ({
  title: `${FIGURES[figure].title}, probability without a difference`,
  who: own,
  beside: rival,
  condition,
  direction: 'at least',
  bound: { must: CHANCE },
  reach(find) {
    const [a, b] = [find(own, condition, figure), find(rival, condition, figure)];
    if (!a || !b || Math.min(a.values.length, b.values.length) < FEWEST) return undefined;
    const isSmall = Math.abs(a.median / b.median - 1) < LEAST_CHANGE;
    return { value: isSmall ? 1 : mannWhitney(a.values, b.values), of: [own, rival] };
  },
});

/** How little one row of the path suite may differ from another. */
export const flat = (contender: string, condition: string, than: string, must: number): Goal => ({
  title: FIGURES.nsPerFrame.title,
  who: condition,
  beside: than,
  condition: contender,
  direction: 'at most',
  bound: { must },
  reach(find) {
    const cost = ratio(find(contender, condition, 'nsPerFrame'), find(contender, than, 'nsPerFrame'));
    return cost && { value: cost.value, of: [condition, than] };
  },
});

/** A figure that is no ratio; the largest of its samples counts. */
export const absolute = (figure: FigureId, contender: string, condition: string, bounds: Bounds): Goal => ({
  title: FIGURES[figure].title,
  who: contender,
  beside: '',
  condition,
  direction: 'at most',
  bound: boundOf(bounds),
  figure,
  reach(find) {
    const cell = find(contender, condition, figure);
    return cell && { value: cell.max, of: [contender] };
  },
});
