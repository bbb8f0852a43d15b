import {
  type Counters,
  type Gauges,
  type PeerTally,
  peerTally,
  readGauges,
  type Tally,
  verdictTally,
} from './descriptor/counters.ts';
import { VERDICTS } from './descriptor/verdicts.ts';
import type { Lag } from './heartbeat.ts';

/** Everything counted, as values. */
export interface CounterSnapshot {
  /** By name of the verdict, in the order of `VERDICTS`. */
  readonly verdicts: Readonly<Record<string, Tally>>;
  /** By id of the peer. */
  readonly peers: Readonly<Record<string, PeerTally>>;
  readonly egress: Gauges;
  readonly ingress: Gauges;
  /** How long workers take to notice something, the slowest of each direction. */
  readonly lag: { readonly egress: Lag; readonly ingress: Lag };
  /** Workers that died and were started again. */
  readonly restarts: number;
  /** Peers whose path takes less than the underlay interface. */
  readonly loweredPaths: number;
}

/** Verdicts by name and peers by id, all workers together. */
export function snapshot(
  counters: Counters,
  slots: Iterable<[string, number]>,
): Pick<CounterSnapshot, 'verdicts' | 'peers'> {
  return {
    verdicts: Object.fromEntries(VERDICTS.map(({ name }, number) => [name, verdictTally(counters, number)])),
    peers: Object.fromEntries([...slots].map(([id, slot]) => [id, peerTally(counters, slot)])),
  };
}

/** The gauges of some workers together. */
export function gaugesOf(counters: Counters, workers: readonly number[]): Gauges {
  return workers.map(worker => readGauges(counters, worker)).reduce(addGauges);
}

function addGauges(a: Gauges, b: Gauges): Gauges {
  const names = Object.keys(a) as (keyof Gauges)[];
  return Object.fromEntries(
    names.map(name => [name, name === 'batchMax' ? Math.max(a[name], b[name]) : a[name] + b[name]]),
  ) as Gauges;
}
