import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../../src/base/errors.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import { buildLab } from '../../../src/lab/topology.ts';
import type { Progress } from '../../demo/progress.ts';
import { ping } from '../../lab/measure.ts';
import type { Missing, Sample } from '../../report/samples.ts';
import { judge, type Point, QUANTITIES, type QuantityId, type Verdict } from './criterion.ts';
import { churn, configuration } from './cycle.ts';
import { SoakNode } from './node.ts';
import { absentStore, openStore, type StoreKind } from './stores.ts';
import { Traffic } from './traffic.ts';
import { type Reading, readAll } from './watch.ts';

export interface ChurnOptions {
  readonly store: StoreKind;
  /** The run ends after the cycle in which this time is over ... */
  readonly seconds: number;
  /** ... and so many cycles are done. */
  readonly cycles: number;
}

export interface ChurnResult {
  readonly cycles: number;
  readonly seconds: number;
  /** One per node, in the lab's order. */
  readonly nodes: readonly (readonly { readonly atS: number; readonly reading: Reading }[])[];
  /** Packets and answers that arrived, and turns of traffic that were interrupted. */
  readonly received: number;
  readonly interrupted: number;
  /** Answers to the pings at the end, of `PINGS`. */
  readonly answered: number;
}

/** A run of an hour has a reading per minute, a short one after each cycle. */
const READINGS = 60;
/** From the last change to a reading: late work is done, connections are closed. */
const REST_MS = 1500;
/** Longest time in which connections that are no longer used, as those of HTTP clients, are closed. */
const CLOSED_MS = 20_000;
const PINGS = 5;
/** Fewer say nothing about growth. */
export const LEAST_CYCLES = 6;

export const churnSeconds = (seconds: number): number => 10 + seconds;

/** Two agents whose leases, pods, configuration and store change all the time, while traffic flows between their pods. */
export async function runChurn(
  { store: kind, seconds, cycles: leastCycles }: ChurnOptions,
  told: (cycle: number, latest: Reading | undefined) => void,
): Promise<ChurnResult> {
  const lab = buildLab({ podsPerNode: 0 });
  mkdirSync(scratch(), { recursive: true });
  const folder = mkdtempSync(join(scratch(), 's'));
  const began = performance.now();
  const elapsed = (): number => (performance.now() - began) / 1000;
  const ends: (() => unknown)[] = [
    () => lab.remove(),
    () => rmSync(folder, { recursive: true, force: true }),
  ];
  try {
    const store = await openStore(kind, lab, folder, configuration());
    ends.push(() => store.stop());
    // Only one of them collects when it is asked: garbage that an agent leaves for long shows at the other one.
    const nodes = lab.nodes.map((node, at) => new SoakNode(node, folder, store.flags, at === 0));
    ends.push(() => Promise.all(nodes.map(node => node.stop())));
    for (const node of nodes) node.start();
    await Promise.all(nodes.map(node => node.ready(nodes.length - 1)));
    const pods = await Promise.all(nodes.map(node => node.addPod()));
    ends.push(() => pods.forEach(({ ns }) => void ns.remove()));
    const [one, two] = pods;
    const there = { from: one!.ns, to: two!.ns, address: two!.address };
    const traffic = new Traffic(there, { from: two!.ns, to: one!.ns, address: one!.address });
    ends.push(() => traffic.stop());

    const readings = nodes.map((): { atS: number; reading: Reading }[] => []);
    let cycle = 0;
    let readAtS = Number.NEGATIVE_INFINITY;
    for (; elapsed() < seconds || cycle < leastCycles; cycle++) {
      await churn(cycle, nodes, store);
      if (elapsed() - readAtS >= seconds / READINGS || cycle < leastCycles) {
        await sleep(REST_MS);
        readAtS = elapsed();
        for (const [at, node] of nodes.entries()) {
          // The first cycle loads what is loaded on demand.
          const former = readings[at]!.slice(1).map(({ reading }) => reading.descriptors ?? 0);
          const reading = await readWhenClosed(node, Math.min(...former));
          readings[at]!.push({ atS: elapsed(), reading });
        }
      }
      told(cycle, readings[0]!.at(-1)?.reading);
    }
    await traffic.stop();
    const { received: answered } = await ping(there, PINGS);
    const { received, failed: interrupted } = traffic;
    return { cycles: cycle, seconds: elapsed(), nodes: readings, received, interrupted, answered };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Reads a node when it has no more than `most` file descriptors open, or does not close the rest. */
async function readWhenClosed(node: SoakNode, most: number): Promise<Reading> {
  const end = performance.now() + CLOSED_MS;
  for (;;) {
    const reading = await readAll(node);
    if ((reading.descriptors ?? 0) <= most || performance.now() >= end) return reading;
    await sleep(REST_MS);
  }
}

/** The course of one quantity at one node; points are missing where it could not be read. */
export function courseOf(result: ChurnResult, node: number, quantity: QuantityId): Point[] {
  return result.nodes[node]!.flatMap(({ atS, reading }) => {
    const value = reading[quantity];
    return value === undefined ? [] : [{ atS, value }];
  });
}

/** What was watched at each node, with the verdict of the criterion. */
export function verdicts(
  result: ChurnResult,
): { node: number; quantity: QuantityId; points: readonly Point[]; verdict: Verdict }[] {
  return result.nodes.flatMap((_, node) =>
    (Object.keys(QUANTITIES) as QuantityId[]).flatMap(quantity => {
      const points = courseOf(result, node, quantity);
      const verdict = judge(points, QUANTITIES[quantity].bound);
      return verdict ? [{ node, quantity, points, verdict }] : [];
    }),
  );
}

/** The suite's part of a report: each reading, and the thirds with the growth. */
export async function runChurnSuite(
  stores: readonly StoreKind[],
  seconds: number,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  for (const store of stores) {
    const absent = (reason: string): void =>
      void missing.push({ suite: 'churn', contender: `${store} store`, condition: '', figure: '', reason });
    const lacking = absentStore(store);
    if (lacking !== undefined) {
      absent(lacking);
      continue;
    }
    progress.step(`soak: churn, ${store} store`, churnSeconds(seconds));
    try {
      const result = await runChurn({ store, seconds, cycles: LEAST_CYCLES }, () => {});
      samples.push(...samplesOf(store, result));
      if (result.answered === 0) absent('no ping between the pods was answered in the end');
    } catch (error) {
      absent(describeError(error));
    }
  }
  return { samples, missing };
}

function samplesOf(store: StoreKind, result: ChurnResult): Sample[] {
  return verdicts(result).flatMap(({ node, quantity, points, verdict }) => {
    const { title, unit } = QUANTITIES[quantity];
    const of = {
      suite: 'churn',
      contender: `${store} store, node ${node + 1}`,
      condition: unit === '' ? title : `${title}, ${unit}`,
    };
    const { first, middle, last, growth, bound } = verdict;
    const thirds = {
      churnFirst: first,
      churnMiddle: middle,
      churnLast: last,
      churnGrowth: growth,
      churnBound: bound,
    };
    return [
      ...Object.entries(thirds).map(([figure, value]) => ({ ...of, figure, round: 0, value })),
      ...points.map(({ value }, round) => ({ ...of, figure: 'churnReading', round, value })),
    ];
  });
}
