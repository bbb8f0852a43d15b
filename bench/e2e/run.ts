import type { Family } from '../../encap/encap.ts';
import { describeError } from '../../src/base/errors.ts';
import { buildLab, type Lab, type LabCondition } from '../../src/lab/topology.ts';
import type { MeasuredDeployment } from '../contenders/contender.ts';
import type { Fate } from '../contenders/fate.ts';
import { CONTENDERS } from '../contenders/index.ts';
import type { Progress } from '../demo/progress.ts';
import { type Route, throughput } from '../lab/measure.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';
import { Allowance, Failures } from './allowance.ts';
import { AROUND, durationOf, lengthOf, MEASURES, type Measure, type MeasureId } from './measures.ts';
import { measuresOf, type Plan, planned, roundSeconds } from './plan.ts';
import { type ThreadTime, threadTimes, usedBetween } from './threads.ts';

export interface E2eOptions extends Plan {
  conditions: readonly LabCondition[];
  rounds: number;
  /** Of the longest measurement. */
  seconds: number;
  /** Bound of the whole, minutes; rounds that do not fit are left out. Undefined: twice the estimate and ten minutes. */
  minutes?: number | undefined;
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

/** How much more than its estimate a run may take when no bound is given: a busy machine starts programs slowly. */
const MARGIN = 2;
const MARGIN_S = 600;

/** What a run takes if all contenders stand, seconds. */
export function e2eSeconds(options: E2eOptions): number {
  return Math.min(estimate(options), boundSeconds(options));
}

/** With shorter measurements when those given do not fit into the bound. */
export function fitted<T extends E2eOptions>(options: T): T {
  const fits = options.minutes === undefined || estimate(options) <= options.minutes * 60;
  return fits ? options : { ...options, seconds: 1 };
}

/** What it takes at most: beyond that only what is running ends. */
export function boundSeconds(options: E2eOptions): number {
  return options.minutes === undefined ? estimate(options) * MARGIN + MARGIN_S : options.minutes * 60;
}

function estimate({ conditions, rounds, seconds, ...plan }: E2eOptions): number {
  const each = STAND + conditions.length * (WARM_SECONDS + AROUND);
  return planned(plan).length * each + conditions.length * rounds * roundSeconds(plan, seconds);
}

interface Standing {
  id: string;
  lab: Lab;
  measures: readonly MeasureId[];
  /** It is measured for its ratio alone: its threads are not told. */
  isBrief: boolean;
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
  const allowance = new Allowance(boundSeconds(options));
  try {
    for (const id of planned(options)) {
      progress.step(`${id}: two nodes, two pods`, STAND);
      try {
        standing.push(await stand(id, options));
      } catch (error) {
        missing.push({ ...NOWHERE, contender: id, reason: describeError(error) });
      }
    }
    for (const [at, condition] of options.conditions.entries()) {
      const share = allowance.share(options.conditions.length - at);
      for (const { id, lab, pods } of standing) {
        lab.condition(condition);
        progress.step(`${condition}: ${id}: warm up`, WARM_SECONDS + AROUND);
        // What fails here fails again where it is counted.
        await throughput(pods, WARM_SECONDS).catch(() => undefined);
      }
      const failures = new Failures();
      for (let round = 0; round < options.rounds; round++) {
        const began = performance.now();
        const turn = { condition, round, samples, missing, failures, seconds: options.seconds, progress };
        const isWhole = await takeRound(standing, turn, share);
        const took = (performance.now() - began) / 1000;
        const isLast = round === options.rounds - 1;
        if (isWhole && (isLast || share.hasRoomFor(took))) continue;
        const rounds = `${isWhole ? round + 1 : round} of ${options.rounds} rounds`;
        missing.push({ ...NOWHERE, condition, reason: `the time was used up after ${rounds}` });
        break;
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

const NOWHERE = { suite: 'e2e', contender: '', condition: '', figure: '' };

/** Each measurement through all contenders. @returns false when the time was used up before the end */
async function takeRound(standing: readonly Standing[], turn: Turn, share: Allowance): Promise<boolean> {
  for (const measure of Object.keys(MEASURES) as MeasureId[]) {
    for (let at = 0; at < standing.length; at++) {
      const one = standing[(at + turn.round) % standing.length]!;
      if (!one.measures.includes(measure) || turn.failures.isGivenUp(one.id, measure)) continue;
      if (!share.hasRoomFor(durationOf(MEASURES[measure], turn.seconds))) return false;
      await take(one, measure, turn);
    }
  }
  return true;
}

async function stand(id: string, options: E2eOptions): Promise<Standing> {
  const { inner, underlay } = options;
  const contender = CONTENDERS[id]!;
  const reason = contender.unavailable();
  if (reason !== undefined) throw new Error(`not measured here: ${reason}`);
  const lab = buildLab();
  try {
    const deployment = await contender.deploy(lab, { underlay });
    const [one, two] = lab.nodes;
    const [from, to] = [one!.pods[0]!, two!.pods[0]!];
    return {
      id,
      lab,
      measures: measuresOf(id, options),
      isBrief: !options.contenders.includes(id),
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
  failures: Failures;
  progress: Progress;
}

async function take(standing: Standing, measureId: MeasureId, turn: Turn): Promise<void> {
  const { id, pods, nodes, deployment, isBrief } = standing;
  const measure: Measure = MEASURES[measureId];
  const { condition, round, samples, missing, progress } = turn;
  const seconds = lengthOf(measure, turn.seconds);
  progress.step(
    `${condition}, round ${round + 1}: ${id}: ${measure.title}`,
    durationOf(measure, turn.seconds),
  );
  const add = (suite: string, where: string, values: Partial<Record<FigureId, number>>) => {
    for (const [figure, value] of Object.entries(values))
      samples.push({ suite, contender: id, condition: where, figure, round, value });
  };
  try {
    const pids = deployment.pids ?? [];
    const timed = measure.threads && !isBrief ? pids : [];
    const before = threadTimes(timed);
    const run = () => measure.run(measure.nodes ? nodes : pods, seconds, pids);
    const { result: values, fate } =
      measure.lossy && deployment.audited
        ? await deployment.audited(seconds + AROUND, run)
        : { result: await run(), fate: undefined };
    add('e2e', condition, values);
    if (values.tcp1) {
      const used = usedBetween(before, threadTimes(timed));
      for (const [thread, figures] of sharesOfThreads(used, values.tcp1 * seconds))
        add('threads', `${condition}, ${thread}`, figures);
    }
    if (fate) add('audit', `${condition}, ${measureId}`, sharesOf(fate));
  } catch (error) {
    turn.failures.note(id, measureId);
    missing.push({ suite: 'e2e', contender: id, condition, figure: measureId, reason: describeError(error) });
  }
}

/** Below this a thread does not carry packets, s per gigabit. */
const LEAST_PER_GIGABIT = 0.002;

/** CPU time of each thread that carries packets, s per gigabit. */
function sharesOfThreads(
  used: ReadonlyMap<string, ThreadTime>,
  gigabits: number,
): [string, Partial<Record<FigureId, number>>][] {
  return [...used].flatMap(([name, { user, system }]) =>
    (user + system) / gigabits < LEAST_PER_GIGABIT
      ? []
      : [[name, { threadUser: user / gigabits, threadSystem: system / gigabits }]],
  );
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
