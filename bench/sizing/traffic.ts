import { readFileSync } from 'node:fs';
import { describeError } from '../../src/base/errors.ts';
import { buildLab } from '../../src/lab/topology.ts';
import { AS_AGENTS_DO, deployRipstop, type RipstopDeployment } from '../contenders/ripstop.ts';
import type { Progress } from '../demo/progress.ts';
import { packetRate, type Route, throughput } from '../lab/measure.ts';
import type { FigureId, Missing, Sample } from '../report/samples.ts';

const MODES = ['vxlan', 'udp'] as const;
/** Payload bytes of the UDP packets, and packets per second that are offered. */
const PACKETS: readonly (readonly [size: number, rate: number])[] = [
  [64, 10_000],
  [64, 100_000],
  [1400, 10_000],
  [1400, 100_000],
];
const FLOWS = 8;
const LEG_SECONDS = 5;
const QUICK_LEG_SECONDS = 1;
const ROUNDS = 3;
const TICKS_A_SECOND = 100;

type Figures = Partial<Record<FigureId, number>>;
/** What a leg carried, and in which unit its CPU time is given. */
type Carried = { readonly gigabits: number } | { readonly millionPackets: number };

/** Estimate, s. */
export const trafficSeconds = (quick: boolean): number =>
  quick ? 20 : ROUNDS * MODES.length * (PACKETS.length + 1) * (LEG_SECONDS + 2);

/** CPU time of the process on each node, by what it carries: TCP per gigabit, UDP per million packets. */
export async function runTraffic(
  quick: boolean,
  progress: Progress,
): Promise<{ samples: Sample[]; missing: Missing[] }> {
  const samples: Sample[] = [];
  const missing: Missing[] = [];
  const seconds = quick ? QUICK_LEG_SECONDS : LEG_SECONDS;
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++)
    for (const mode of MODES) {
      const note = (condition: string, figures: Figures): void => {
        for (const [figure, value] of Object.entries(figures))
          samples.push({
            ...{ suite: 'traffic', contender: mode, condition },
            ...{ figure: figure as FigureId, round, value },
          });
      };
      try {
        await measureMode(mode, seconds, progress, note);
      } catch (error) {
        missing.push({
          ...{ suite: 'traffic', contender: mode, condition: '', figure: '' },
          reason: describeError(error),
        });
      }
    }
  return { samples, missing };
}

async function measureMode(
  mode: (typeof MODES)[number],
  seconds: number,
  progress: Progress,
  note: (condition: string, figures: Figures) => void,
): Promise<void> {
  const lab = buildLab();
  try {
    lab.condition('wirecs');
    const deployment = await deployRipstop(lab, { underlay: 4 }, { ...AS_AGENTS_DO, mode });
    try {
      const [from, to] = lab.nodes.map(node => node.pods[0]!);
      const route: Route = { from: from!.ns, to: to!.ns, address: to!.address[4] };
      const leg = async (condition: string, work: () => Promise<Carried>): Promise<void> => {
        progress.step(`traffic: ${mode}, ${condition}`, seconds + 2);
        const before = cpuOf(deployment);
        const carried = await work();
        const [send = Number.NaN, receive = Number.NaN] = cpuOf(deployment).map(
          (cpu, node) => cpu - before[node]!,
        );
        note(condition, perUnit(carried, send, receive, seconds));
      };
      await leg('TCP, 1 stream', async () => ({
        gigabits: (await throughput(route, seconds)).gbitPerSecond * seconds,
      }));
      for (const [size, rate] of PACKETS)
        await leg(`UDP ${size} bytes, ${rate / 1000} kpps offered`, async () => ({
          millionPackets: (await packetRate(route, seconds, size, FLOWS, rate)).received / 1e6,
        }));
    } finally {
      await deployment.stop();
    }
  } finally {
    lab.remove();
  }
}

function perUnit(carried: Carried, send: number, receive: number, seconds: number): Figures {
  if ('gigabits' in carried) {
    const { gigabits } = carried;
    return {
      carriedGbit: gigabits / seconds,
      sendPerGbit: send / gigabits,
      receivePerGbit: receive / gigabits,
    };
  }
  const { millionPackets } = carried;
  return {
    carriedKpps: (millionPackets * 1000) / seconds,
    sendPerMpacket: send / millionPackets,
    receivePerMpacket: receive / millionPackets,
  };
}

/** CPU time of each node's process so far, with all its threads, s (proc(5), fields utime and stime). */
function cpuOf({ processes }: RipstopDeployment): number[] {
  return processes.map(({ pid }) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
  });
}
