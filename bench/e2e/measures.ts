import { busySeconds } from '../lab/cpu.ts';
import { packetRate, type Route, roundTrip, throughput } from '../lab/measure.ts';
import type { FigureId } from '../report/samples.ts';

/** One run of a tool, and the figures that come of it. */
export interface Measure {
  title: string;
  /** Part of the normal length; connections and round trips settle sooner than throughput. */
  share: number;
  /** Between the tunnel devices of the two nodes, rather than between their pods. */
  nodes?: boolean;
  /** Packets get lost in it: an audit says where. */
  lossy?: boolean;
  run(route: Route, seconds: number): Promise<Partial<Record<FigureId, number>>>;
}

const tcp = (figure: FigureId, streams: number, back = false): Measure => ({
  title: `TCP, ${streams} stream${streams > 1 ? 's' : ''}${back ? ', the way back' : ''}`,
  share: back ? 0.5 : 1,
  async run(route, seconds) {
    return { [figure]: (await throughput(route, seconds, streams, back)).gbitPerSecond };
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

export const MEASURES = {
  tcp1: {
    ...tcp('tcp1', 1),
    async run(route, seconds) {
      const before = busySeconds();
      const { gbitPerSecond } = await throughput(route, seconds);
      const busy = busySeconds() - before;
      return { tcp1: gbitPerSecond, cpu: busy / (gbitPerSecond * seconds) };
    },
  },
  tcp1back: tcp('tcp1back', 1, true),
  tcp4: tcp('tcp4', 4),
  tcp4back: tcp('tcp4back', 4, true),
  tcp1node: { ...tcp('tcp1node', 1), nodes: true },
  tcp4node: { ...tcp('tcp4node', 4), nodes: true },
  udp64x1: udp('udp64x1', 'udp64x1loss', 64, 1),
  udp64x8: udp('udp64x8', 'udp64x8loss', 64, 8),
  udp1400x1: udp('udp1400x1', 'udp1400x1loss', 1400, 1),
  udp1400x8: udp('udp1400x8', 'udp1400x8loss', 1400, 8),
  rr: {
    title: 'round trips',
    share: 1,
    // Both ways round, and the mean of the two: a worker that answers on the core of whom it wakes saves an interrupt
    // across cores, and which core a worker has is chance (docs/decisions/0002).
    async run(route, seconds) {
      const half = Math.max(1, Math.round(seconds / 2));
      const [a, b] = [await roundTrip(route, half, 'tcp', 0), await roundTrip(route, half, 'tcp', 1)];
      const mean = (of: 'p50' | 'p90' | 'p99' | 'p999') => (a[of] + b[of]) / 2;
      return { rr50: mean('p50'), rr90: mean('p90'), rr99: mean('p99'), rr999: mean('p999') };
    },
  },
  connections: {
    title: 'connections',
    share: 0.5,
    async run(route, seconds) {
      return { connections: (await roundTrip(route, seconds, 'connect')).rate };
    },
  },
} as const satisfies Record<string, Measure>;

export type MeasureId = keyof typeof MEASURES;

/** Time that a measurement takes in addition to its own seconds: starting and ending tools. */
export const AROUND = 0.3;

export const lengthOf = (measure: Measure, seconds: number) =>
  Math.max(1, Math.round(measure.share * seconds));
