import type { Family } from '../../encap/encap.ts';
import { describeError } from '../../src/base/errors.ts';
import { buildLab, type Lab, type LabCondition } from '../../src/lab/topology.ts';
import type { MeasuredDeployment } from '../contenders/contender.ts';
import type { Fate } from '../contenders/fate.ts';
import { CONTENDERS } from '../contenders/index.ts';
import type { Progress } from '../demo/progress.ts';
import { type Route, throughput } from '../lab/measure.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';
import { AROUND, lengthOf, MEASURES, type Measure, type MeasureId } from './measures.ts';
import { measuresOf, type Plan, planned, roundSeconds } from './plan.ts';

export interface E2eOptions extends Plan {
  conditions: readonly LabCondition[];
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

/** Laying and taking down one contender, and setting its underlay's condition. */
const STAND = 1.5;

/** TCP through each contender after a change of condition, not counted: what comes first is slower than all that follows. */
const WARM_SECONDS = 1;

/** What a run takes if all contenders stand, seconds. */
export function e2eSeconds({ conditions, rounds, seconds, ...plan }: E2eOptions): number {
  const each = STAND + conditions.length * (WARM_SECONDS + AROUND);
  return planned(plan).length * each + conditions.length * rounds * roundSeconds(plan, seconds);
}

interface Standing {
  id: string;
  lab: Lab;
  measures: readonly MeasureId[];
  pods: Route;
  nodes: Route;
  deployment: MeasuredDeployment;
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
    for (const id of planned(options)) {
      progress.step(`${id}: two nodes, two pods`, STAND);
      try {
        standing.push(await stand(id, options));
      } catch (error) {
        missing.push({
          suite: 'e2e',
          contender: id,
          condition: '',
          figure: '',
          reason: describeError(error),
        });
      }
    }
    for (const condition of options.conditions) {
      for (const { id, lab, pods } of standing) {
        lab.condition(condition);
        progress.step(`${condition}: ${id}: warm up`, WARM_SECONDS + AROUND);
        // What fails here fails again where it is counted.
        await throughput(pods, WARM_SECONDS).catch(() => undefined);
      }
      for (let round = 0; round < options.rounds; round++) {
        for (const measure of Object.keys(MEASURES) as MeasureId[]) {
          for (let turn = 0; turn < standing.length; turn++) {
            const one = standing[(turn + round) % standing.length]!;
            if (!one.measures.includes(measure)) continue;
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
    for (const { deployment, lab } of standing) {
      await deployment.stop();
      lab.remove();
    }
  }
  return { samples, missing };
}

async function stand(id: string, options: E2eOptions): Promise<Standing> {
  const { inner, underlay } = options;
  const contender = CONTENDERS[id]!;
  const reason = contender.unavailable();
  if (reason !== undefined) throw new Error(reason);
  const lab = buildLab();
  try {
    const deployment = await contender.deploy(lab, { underlay });
    const [one, two] = lab.nodes;
    const [from, to] = [one!.pods[0]!, two!.pods[0]!];
    return {
      id,
      lab,
      measures: measuresOf(id, options),
      pods: { from: from.ns, to: to.ns, address: to.address[inner] },
      nodes: { from: one!.ns, to: two!.ns, address: two!.tunnel[inner] },
      deployment,
    };
  } catch (error) {
    lab.remove();
    throw error;
  }
}

interface Turn {
  condition: LabCondition;
  round: number;
  seconds: number;
  samples: Sample[];
  missing: Missing[];
  progress: Progress;
}

async function take(
  { id, pods, nodes, deployment }: Standing,
  measureId: MeasureId,
  turn: Turn,
): Promise<void> {
  const measure: Measure = MEASURES[measureId];
  const { condition, round, samples, missing, progress } = turn;
  const seconds = lengthOf(measure, turn.seconds);
  progress.step(`${condition}, round ${round + 1}: ${id}: ${measure.title}`, seconds + AROUND);
  try {
    const run = () => measure.run(measure.nodes ? nodes : pods, seconds);
    const { result: values, fate } =
      measure.lossy && deployment.audited
        ? await deployment.audited(seconds + AROUND, run)
        : { result: await run(), fate: undefined };
    for (const [figure, value] of Object.entries(values) as [FigureId, number][]) {
      samples.push({ suite: 'e2e', contender: id, condition, figure, round, value });
    }
    if (fate) {
      const row = { suite: 'audit', contender: id, condition: `${condition}, ${measureId}`, round };
      for (const [figure, value] of Object.entries(sharesOf(fate))) samples.push({ ...row, figure, value });
    }
  } catch (error) {
    missing.push({ suite: 'e2e', contender: id, condition, figure: measureId, reason: describeError(error) });
  }
}

/** What was lost where, per cent of what entered. */
function sharesOf(fate: Fate): Partial<Record<FigureId, number>> {
  const share = (count: number) => (fate.entered === 0 ? 0 : (count / fate.entered) * 100);
  return {
    auditDevice: share(fate.deviceQueue),
    auditUnderlay: share(fate.underlay),
    auditSocket: share(fate.socket),
    auditVerdicts: share(fate.otherVerdicts),
    auditResidue: share(fate.residue),
    auditDelivered: share(fate.delivered),
  };
}
