import { AROUND, lengthOf, MEASURES, type MeasureId } from './measures.ts';

/** Who is measured in what. */
export interface Plan {
  contenders: readonly string[];
  /** Measured in `BRIEF` alone: slow rivals, of whom no more is asked than by how much. */
  brief: readonly string[];
  /** What was asked for; undefined for all that explains something. */
  measures: readonly MeasureId[] | undefined;
}

export const BRIEF: readonly MeasureId[] = ['tcp1', 'udp64x1', 'rr'];
/** From node to node they are measured who show what a pod's bridge costs. */
const NODE_TO_NODE = ['kernel', 'vxlan'];
const ALL = Object.keys(MEASURES) as MeasureId[];

/** All that are to stand, in their order. */
export const planned = ({ contenders, brief }: Plan): string[] => [...new Set([...contenders, ...brief])];

/** What this contender is measured in. */
export function measuresOf(id: string, { contenders, measures }: Plan): readonly MeasureId[] {
  const wanted = measures ?? ALL.filter(measure => !isNodes(measure) || NODE_TO_NODE.includes(id));
  return contenders.includes(id) ? wanted : wanted.filter(measure => BRIEF.includes(measure));
}

const isNodes = (id: MeasureId) => 'nodes' in MEASURES[id];

/** Seconds that one round of one condition takes. @param seconds of the longest measurement */
export function roundSeconds(plan: Plan, seconds: number): number {
  const ofOne = (id: string) =>
    measuresOf(id, plan).reduce((sum, measure) => sum + lengthOf(MEASURES[measure], seconds) + AROUND, 0);
  return planned(plan).reduce((sum, id) => sum + ofOne(id), 0);
}
