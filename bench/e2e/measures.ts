import { cpuTimes } from '../lab/cpu.ts';
import { packetRate, type RoundTripResult, type Route, roundTrip, throughput } from '../lab/measure.ts';
import type { FigureId } from '../report/samples.ts';
import { COUNT_MEASURES } from './counts.ts';

/** One run of a tool, and the figures that come of it. */
export interface Measure {
  title: string;
  /** Part of the normal length; connections and round trips settle sooner than throughput. */
  share: number;
  /** Runs of a tool one after the other, when more than one. */
  runs?: number;
  /** Time beyond that length, s. */
  extra?: number;
  /** Who is measured in it when no measure is named: those alone of whom it explains something. */
  who?: readonly string[];
  /** Between the tunnel devices of the two nodes, rather than between their pods. */
  nodes?: boolean;
  /** Packets get lost in it: an audit says where. */
  lossy?: boolean;
  /** Its CPU time is told by thread, per gigabit of `tcp1`. */
  threads?: boolean;
  /** @param pids processes of the tunnel */
  run(route: Route, seconds: number, pids: readonly number[]): Promise<Partial<Record<FigureId, number>>>;
}

const tcp = (figure: FigureId, streams: number, back = false): Measure => ({
  title: `TCP, ${streams} stream${streams > 1 ? 's' : ''}${back ? ', the way back' : ''}`,
  share: back ? 0.5 : 1,
  async run(route, seconds) {
    const direction = back ? 'reverse' : 'forward';
    return { [figure]: (await throughput(route, seconds, streams, direction)).gbitPerSecond };
  },
});

const udp = (figure: FigureId, loss: FigureId, size: number, flows: number): Measure => ({
  title: `UDP, ${size} bytes, ${flows} flow${flows > 1 ? 's' : ''}`,
  share: 0.7,
  lossy: true,
  async run(route, seconds) {
    const result = await packetRate(route, seconds, size, flows);
    return { [figure]: result.rate / 1000, [loss]: result.loss * 100 };
  },
});

/** Time for which the stream runs before the round trips and after them, together, s: it comes to its rate first. */
const LOAD_EXTRA_S = 1;

/** Offered rates, as shares of what a flood just before carried: around it, and where a flood carries less than the path can. */
export const PACES = { paced95: 0.95, paced125: 1.25, paced170: 1.7 } as const satisfies Partial<
  Record<FigureId, number>
>;

export const MEASURES = {
  tcp1: {
    ...tcp('tcp1', 1),
    threads: true,
    async run(route, seconds) {
      const before = cpuTimes();
      const { gbitPerSecond } = await throughput(route, seconds);
      const after = cpuTimes();
      const per = (of: keyof typeof after) => (after[of] - before[of]) / (gbitPerSecond * seconds);
      const [cpuUser, cpuSystem, cpuSoftirq] = [per('user'), per('system'), per('softirq')];
      return { tcp1: gbitPerSecond, cpu: cpuUser + cpuSystem + cpuSoftirq, cpuUser, cpuSystem, cpuSoftirq };
    },
  },
  tcp1back: tcp('tcp1back', 1, true),
  tcp4: tcp('tcp4', 4),
  tcp4back: tcp('tcp4back', 4, true),
  tcpboth: {
    title: 'TCP, 1 stream in each direction at once',
    share: 0.5,
    async run(route, seconds) {
      return { tcpboth: (await throughput(route, seconds, 1, 'both')).gbitPerSecond };
    },
  },
  tcp1node: { ...tcp('tcp1node', 1), nodes: true, who: ['kernel', 'vxlan'] },
  tcp4node: { ...tcp('tcp4node', 4), nodes: true, who: ['kernel', 'vxlan'] },
  udp64x1: udp('udp64x1', 'udp64x1loss', 64, 1),
  udp64x8: udp('udp64x8', 'udp64x8loss', 64, 8),
  udp1400x1: udp('udp1400x1', 'udp1400x1loss', 1400, 1),
  udp1400x8: udp('udp1400x8', 'udp1400x8loss', 1400, 8),
  rr: {
    title: 'round trips',
    share: 0.5,
    runs: 2,
    // Both ways round, and the mean of the two: a worker that answers on the core of whom it wakes saves an interrupt
    // across cores, and which core a worker has is chance (docs/decisions/0002).
    async run(route, seconds) {
      const [a, b] = [await roundTrip(route, seconds, 'tcp', 0), await roundTrip(route, seconds, 'tcp', 1)];
      const mean = (of: 'p50' | 'p90' | 'p99' | 'p999') => (a[of] + b[of]) / 2;
      return { rr50: mean('p50'), rr90: mean('p90'), rr99: mean('p99'), rr999: mean('p999') };
    },
  },
  rrload: {
    title: 'round trips next to a TCP stream',
    share: 0.5,
    extra: LOAD_EXTRA_S,
    async run(route, seconds) {
      const trips = async () => {
        await new Promise(resolve => setTimeout(resolve, (LOAD_EXTRA_S / 2) * 1000));
        return roundTrip(route, seconds, 'tcp');
      };
      // Neither is left running when the other one fails.
      const both = await Promise.allSettled([trips(), throughput(route, seconds + LOAD_EXTRA_S)]);
      for (const outcome of both) if (outcome.status === 'rejected') throw outcome.reason;
      const { p50, p99 } = (both[0] as PromiseFulfilledResult<RoundTripResult>).value;
      return { load50: p50, load99: p99 };
    },
  },
  paced: {
    title: 'UDP, 64 bytes, paced',
    share: 0.5,
    who: ['vxlan'],
    runs: 4,
    async run(route, seconds) {
      const flood = await packetRate(route, seconds);
      const figures: Partial<Record<FigureId, number>> = {};
      for (const [figure, share] of Object.entries(PACES) as [FigureId, number][])
        figures[figure] =
          (await packetRate(route, seconds, 64, 1, Math.round(flood.rate * share))).rate / 1000;
      return figures;
    },
  },
  connections: {
    title: 'connections',
    share: 0.5,
    async run(route, seconds) {
      return { connections: (await roundTrip(route, seconds, 'connect')).rate };
    },
  },
  ...COUNT_MEASURES,
} as const satisfies Record<string, Measure>;

export type MeasureId = keyof typeof MEASURES;

/** Time that a measurement takes in addition to its own seconds: starting and ending tools. */
export const AROUND = 0.3;

/** Length of one run of the tool, s. */
export const lengthOf = (measure: Measure, seconds: number) =>
  Math.max(1, Math.round(measure.share * seconds));

/** Time that a measurement takes in all, s. */
export function durationOf(measure: Measure, seconds: number): number {
  return (measure.runs ?? 1) * (lengthOf(measure, seconds) + (measure.extra ?? 0) + AROUND);
}
