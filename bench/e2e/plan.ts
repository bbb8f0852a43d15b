import { CONTENDERS } from '../contenders/index.ts';
import { durationOf, MEASURES, type Measure, type MeasureId } from './measures.ts';

/** Who is measured in what. */
export interface Plan {
  contenders: readonly string[];
  /** Measured in `BRIEF` alone: slow rivals, of whom no more is asked than by how much. */
  brief: readonly string[];
  /** What was asked for; undefined for all that explains something. */
  measures: readonly MeasureId[] | undefined;
  /** Left out when no measure was asked for. */
  without: readonly MeasureId[];
}

export const BRIEF: readonly MeasureId[] = ['tcp1', 'udp64x1', 'rr'];
const ALL = Object.keys(MEASURES) as MeasureId[];

/** All that are to stand, in their order. */
export const planned = ({ contenders, brief }: Plan): string[] => [...new Set([...contenders, ...brief])];

/** What this contender is measured in. */
export function measuresOf(id: string, { contenders, measures, without }: Plan): readonly MeasureId[] {
  const isFor = ({ who }: Measure) => who?.includes(id) ?? true;
  const wanted = measures ?? ALL.filter(measure => isFor(MEASURES[measure]) && !without.includes(measure));
  return contenders.includes(id) ? wanted : wanted.filter(measure => BRIEF.includes(measure));
}

/** What an audit adds to a measurement: it begins before it and ends after it. */
const AUDIT_S = 1.5;

/** Seconds that one round of one condition takes. @param seconds of the longest measurement */
export function roundSeconds(plan: Plan, seconds: number): number {
  const lengthOf = (measure: Measure, audits: boolean) =>
    durationOf(measure, seconds) + (measure.lossy && audits ? AUDIT_S : 0);
  const ofOne = (id: string) =>
    measuresOf(id, plan).reduce(
      (sum, measure) => sum + lengthOf(MEASURES[measure], CONTENDERS[id]?.audits ?? false),
      0,
    );
  return planned(plan).reduce((sum, id) => sum + ofOne(id), 0);
}
