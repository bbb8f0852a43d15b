import { readFileSync } from 'node:fs';
import { describeError } from '../../src/base/errors.ts';
import { buildLab, type LabCondition } from '../../src/lab/topology.ts';
import { AS_AGENTS_DO, deployRipstop } from '../contenders/ripstop.ts';
import type { Progress } from '../demo/progress.ts';
import { MEASURES, type MeasureId } from '../e2e/measures.ts';
import type { Route } from '../lab/measure.ts';
import type { Missing, Sample } from '../report/samples.ts';
import { type Span, TRACE_FLAGS, workerCollections } from './collections.ts';

/** Every kind of traffic takes its turn. */
const TRAFFIC: readonly MeasureId[] = ['tcp1', 'udp64x8', 'tcp4back', 'connections', 'udp1400x1', 'rr'];
const CONDITION: LabCondition = 'wirecs';
/** Of one kind, before the next one takes its turn. */
const LEG_SECONDS = 10;
/** Of each kind, while V8 still compiles: not counted. */
const WARM_SECONDS = 1;
const AROUND = 0.4;
/** Egress and ingress, on two nodes. */
const WORKERS = 4;

const legs = (seconds: number) => Math.max(1, Math.ceil(seconds / LEG_SECONDS));
export const pauseSeconds = (seconds: number) =>
  5 + TRAFFIC.length * (WARM_SECONDS + AROUND) + seconds + legs(seconds) * AROUND;

/**
 * Pod to pod for a long time, traffic of all kinds in turn, with V8's own trace of garbage collections switched on in both nodes.
 * Counts what was collected in the four threads that carry packets.
 */
export async function runPauses(
  seconds: number,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const of = { suite: 'soak', contender: 'vxlan', condition: `${seconds} s` };
  try {
    const collections = await soak(seconds, progress);
    return {
      samples: [{ ...of, figure: 'collections', round: 0, value: collections }],
      missing: [],
    };
  } catch (error) {
    return { samples: [], missing: [{ ...of, figure: 'collections', reason: describeError(error) }] };
  }
}

async function soak(seconds: number, progress: Progress): Promise<number> {
  progress.step('soak: two nodes, two pods', 3);
  const lab = buildLab();
  try {
    lab.condition(CONDITION);
    const began = performance.now();
    const deployment = await deployRipstop(lab, { underlay: 4 }, { ...AS_AGENTS_DO, nodeFlags: TRACE_FLAGS });
    /** Every thread has begun by now. A collection that V8 dates by its thread's begin happened at most so much later. */
    const lateness = performance.now() - began;
    let span: Span;
    try {
      const [from, to] = lab.nodes.map(node => node.pods[0]!);
      const route = { from: from!.ns, to: to!.ns, address: to!.address[4] };
      for (const kind of TRAFFIC) await leg(route, kind, WARM_SECONDS, progress);
      const warm = performance.now() - began;
      for (let done = 0; done < seconds; done += LEG_SECONDS) {
        const kind = TRAFFIC[(done / LEG_SECONDS) % TRAFFIC.length]!;
        await leg(route, kind, Math.min(LEG_SECONDS, seconds - done), progress);
      }
      span = { from: warm, to: performance.now() - began };
      // A thread that ends tidies up, which is no matter of packets: it must not do so within the span.
      await new Promise(resolve => setTimeout(resolve, lateness + AROUND * 1000));
    } finally {
      await deployment.stop();
    }
    const found = deployment.processes.map(({ log }) => workerCollections(readFileSync(log, 'utf8'), span));
    const workers = found.reduce((sum, { workers: count }) => sum + count, 0);
    if (workers !== WORKERS)
      throw new Error(`the trace shows ${workers} threads that carry packets, not ${WORKERS}`);
    return found.reduce((sum, { collections }) => sum + collections, 0);
  } finally {
    lab.remove();
  }
}

async function leg(route: Route, kind: MeasureId, seconds: number, progress: Progress): Promise<void> {
  const { title, run } = MEASURES[kind];
  progress.step(`soak: ${title}`, seconds + AROUND);
  await run(route, seconds, []);
}
