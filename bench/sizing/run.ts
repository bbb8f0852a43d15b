import { readFileSync } from 'node:fs';
import { describeError } from '../../src/base/errors.ts';
import { AS_AGENTS_DO, deployRipstop, type RipstopDeployment } from '../contenders/ripstop.ts';
import type { Progress } from '../demo/progress.ts';
import { packetRate, type Route, throughput } from '../lab/measure.ts';
import { buildLab } from '../lab/topology.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';
import { measureBurst } from '../scale/burst.ts';

/** Nodes of the cluster, and seconds in which they come. */
const CLUSTERS: readonly (readonly [nodes: number, seconds: number])[] = [
  [10, 1],
  [100, 1],
  [1000, 5],
  [5000, 15],
];
const QUICK_CLUSTERS = CLUSTERS.slice(0, 1);
const REST_S = 12;
const QUICK_REST_S = 3;
/** Offered packets per second of the payload sizes that are measured. */
const RATES = [1000, 10_000, 50_000, 100_000];
const QUICK_RATES = [1000];
const SIZES = [64, 1400];
const LEG_SECONDS = 5;
const TICKS_A_SECOND = 100;

/** Estimate, s. */
export const sizingSeconds = (quick: boolean): number => (quick ? 40 : 300);

/** What a node needs: memory and idle CPU by the size of the cluster, and CPU by traffic. */
export async function runSizing(
  quick: boolean,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  const place = (condition: string) => ({ suite: 'sizing', contender: 'an agent', condition });
  const note = (condition: string, figures: Partial<Record<FigureId, number>>): void => {
    for (const [figure, value] of Object.entries(figures))
      samples.push({ ...place(condition), figure, round: 0, value });
  };
  const restS = quick ? QUICK_REST_S : REST_S;
  for (const [nodes, seconds] of quick ? QUICK_CLUSTERS : CLUSTERS) {
    const condition = `${nodes} nodes`;
    progress.step(`sizing: ${condition}`, 10 + 2 * seconds + 3 * restS);
    try {
      const { residentMb, peakMb, idlePercent } = await measureBurst({ nodes, seconds, dual: false, restS });
      note(condition, { residentMb, peakMb, idlePercent });
    } catch (error) {
      missing.push({ ...place(condition), figure: '', reason: describeError(error) });
    }
  }
  try {
    await byTraffic(quick ? QUICK_RATES : RATES, progress, note);
  } catch (error) {
    missing.push({ ...place('by traffic'), figure: '', reason: describeError(error) });
  }
  return { samples, missing };
}

async function byTraffic(
  rates: readonly number[],
  progress: Progress,
  note: (condition: string, figures: Partial<Record<FigureId, number>>) => void,
): Promise<void> {
  const lab = buildLab();
  try {
    lab.condition('wirecs');
    const deployment = await deployRipstop(lab, { underlay: 4 }, AS_AGENTS_DO);
    try {
      const [from, to] = lab.nodes.map(node => node.pods[0]!);
      const route: Route = { from: from!.ns, to: to!.ns, address: to!.address[4] };
      const leg = async (condition: string, work: () => Promise<Partial<Record<FigureId, number>>>) => {
        progress.step(`sizing: ${condition}`, LEG_SECONDS + 1);
        const before = cpuOf(deployment);
        const began = performance.now();
        const figures = await work();
        const seconds = (performance.now() - began) / 1000;
        const [sender, receiver] = cpuOf(deployment).map(
          (cpu, node) => ((cpu - before[node]!) / seconds) * 100,
        );
        note(condition, { ...figures, sendPercent: sender!, receivePercent: receiver! });
      };
      await leg('nothing', async () => {
        await new Promise(resolve => setTimeout(resolve, LEG_SECONDS * 1000));
        return {};
      });
      for (const size of SIZES)
        for (const rate of rates)
          await leg(`UDP ${size} bytes, ${rate / 1000} kpps offered`, async () => {
            const result = await packetRate(route, LEG_SECONDS, size, 8, rate);
            return { carriedKpps: result.rate / 1000 };
          });
      await leg('TCP, 1 stream', async () => ({
        carriedGbit: (await throughput(route, LEG_SECONDS)).gbitPerSecond,
      }));
    } finally {
      await deployment.stop();
    }
  } finally {
    lab.remove();
  }
}

/** CPU time of each node's process so far, with all its threads, s (proc(5), fields utime and stime). */
function cpuOf({ processes }: RipstopDeployment): number[] {
  return processes.map(({ pid }) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
  });
}
