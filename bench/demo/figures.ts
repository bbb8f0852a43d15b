import type { PacketRateResult, PingResult, RoundTripResult, ThroughputResult } from '../lab/measure.ts';
import type { TransferResult } from '../lab/transfer.ts';

/** All that one contender's run gave. What failed is absent, and `errors` says why. */
export interface Figures {
  ping?: PingResult;
  transfer?: TransferResult;
  throughput: ThroughputResult[];
  parallel: ThroughputResult[];
  reverse: ThroughputResult[];
  latency: RoundTripResult[];
  packets: PacketRateResult[];
  /** Busy seconds of all cores per gigabyte, one a throughput round. */
  cpuPerGigabyte: number[];
  errors: string[];
}

export const emptyFigures = (): Figures => ({
  throughput: [],
  parallel: [],
  reverse: [],
  latency: [],
  packets: [],
  cpuPerGigabyte: [],
  errors: [],
});

/** Median of `values`; undefined of none. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The medians that table and JSON show. */
export interface Medians {
  gbit: number | undefined;
  gbitParallel: number | undefined;
  gbitReverse: number | undefined;
  p50: number | undefined;
  p99: number | undefined;
  packets: number | undefined;
  loss: number | undefined;
  cpu: number | undefined;
}

export function medians(figures: Figures): Medians {
  const of = <T>(list: readonly T[], value: (item: T) => number) => median(list.map(value));
  return {
    gbit: of(figures.throughput, r => r.gbitPerSecond),
    gbitParallel: of(figures.parallel, r => r.gbitPerSecond),
    gbitReverse: of(figures.reverse, r => r.gbitPerSecond),
    p50: of(figures.latency, r => r.p50),
    p99: of(figures.latency, r => r.p99),
    packets: of(figures.packets, r => r.rate),
    loss: of(figures.packets, r => r.loss),
    cpu: median(figures.cpuPerGigabyte),
  };
}

/** True when everything that was asked for came, whole. */
export function allWorked(figures: Figures): boolean {
  return (
    figures.errors.length === 0 &&
    figures.ping !== undefined &&
    figures.ping.received === figures.ping.sent &&
    figures.transfer?.intact === true
  );
}
