import { describeError } from '../../src/base/errors.ts';
import { CONTENDERS } from '../contenders/index.ts';
import type { Progress } from '../demo/progress.ts';
import type { Route } from '../lab/measure.ts';
import { buildLab, type Condition, type Family, type Lab } from '../lab/topology.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';
import { AROUND, lengthOf, MEASURES, type Measure, type MeasureId } from './measures.ts';

export interface E2eOptions {
  contenders: readonly string[];
  conditions: readonly Condition[];
  measures: readonly MeasureId[];
  rounds: number;
  /** Of the longest measurement. */
  seconds: number;
  inner: Family;
  underlay: Family;
}

export interface E2eResult {
  samples: Sample[];
  missing: Missing[];
}

/** What a run takes if all contenders stand, seconds. */
export function e2eSeconds({ contenders, conditions, measures, rounds, seconds }: E2eOptions): number {
  const turn = measures.reduce((sum, id) => sum + lengthOf(MEASURES[id], seconds) + AROUND, 0);
  return contenders.length * (1 + conditions.length * rounds * turn);
}

interface Standing {
  id: string;
  lab: Lab;
  route: Route;
  stop(): Promise<void>;
}

/**
 * Pod to pod, everyone in turn: in each condition, round by round, each measurement goes through all contenders before the
 * next one begins, and each round begins with another contender, so that drift of the machine falls on all alike.
 */
export async function runE2e(options: E2eOptions, progress: Progress): Promise<E2eResult> {
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  const standing: Standing[] = [];
  try {
    for (const id of options.contenders) {
      progress.step(`${id}: two nodes, two pods`, 1);
      try {
        standing.push(await stand(id, options));
      } catch (error) {
        missing.push({ contender: id, condition: '', figure: '', reason: describeError(error) });
      }
    }
    for (const condition of options.conditions) {
      for (const { lab } of standing) lab.condition(condition);
      for (let round = 0; round < options.rounds; round++) {
        for (const measure of options.measures) {
          for (let turn = 0; turn < standing.length; turn++) {
            const one = standing[(turn + round) % standing.length]!;
            await take(one, measure, {
              condition,
              round,
              samples,
              missing,
              seconds: options.seconds,
              progress,
            });
          }
        }
      }
    }
  } finally {
    for (const { stop, lab } of standing) {
      await stop();
      lab.remove();
    }
  }
  return { samples, missing };
}

async function stand(id: string, { inner, underlay }: E2eOptions): Promise<Standing> {
  const contender = CONTENDERS[id]!;
  const obstacle = contender.obstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  const lab = buildLab();
  try {
    const laid = await contender.lay(lab, { underlay });
    const [from, to] = lab.nodes.map(node => node.pods[0]!);
    return {
      id,
      lab,
      route: { from: from!.ns, to: to!.ns, address: to!.address[inner] },
      stop: () => laid.stop(),
    };
  } catch (error) {
    lab.remove();
    throw error;
  }
}

interface Turn {
  condition: Condition;
  round: number;
  seconds: number;
  samples: Sample[];
  missing: Missing[];
  progress: Progress;
}

async function take({ id, route }: Standing, measureId: MeasureId, turn: Turn): Promise<void> {
  const measure: Measure = MEASURES[measureId];
  const { condition, round, samples, missing, progress } = turn;
  const seconds = lengthOf(measure, turn.seconds);
  progress.step(`${condition}, round ${round + 1}: ${id}: ${measure.title}`, seconds + AROUND);
  try {
    const values = await measure.run(route, seconds);
    for (const [figure, value] of Object.entries(values) as [FigureId, number][]) {
      samples.push({ suite: 'e2e', contender: id, condition, figure, round, value });
    }
  } catch (error) {
    missing.push({ contender: id, condition, figure: measureId, reason: describeError(error) });
  }
}
