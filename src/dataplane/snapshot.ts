import { elementAt } from '../base/at.ts';
import { type Counters, VERDICT_NUMBERS } from './descriptor/counters.ts';
import {
  type FrameCount,
  framesOf,
  type PeerCount,
  peerCount,
  readStats,
  verdictCount,
  type WorkerStats,
} from './descriptor/read-counters.ts';
import { DEVICE_QUEUE_FULL, SOCKET_DROPPED, VERDICTS } from './descriptor/verdicts.ts';
import type { KernelCounts } from './io/kernel-counters.ts';
import type { Lag } from './threads/heartbeat.ts';

/** All counters, as values. */
export interface CounterSnapshot {
  /** By name of the verdict, in the order of `VERDICTS`. */
  readonly verdicts: Readonly<Record<string, FrameCount>>;
  /** By id of the peer. */
  readonly peers: Readonly<Record<string, PeerCount>>;
  readonly egress: WorkerStats;
  readonly ingress: WorkerStats;
  /** Frames that the workers of each queue judged, by direction. */
  readonly queues: readonly QueueFrames[];
  /** Response time of the slowest worker of each direction. */
  readonly lag: { readonly egress: Lag; readonly ingress: Lag };
  /** Answers of the last minute above 50 ms, of the worker that had most of them; it is asked once per second. */
  readonly slowResponses: number;
  /** Restarts of workers that failed. */
  readonly restarts: number;
  /** Peers with a path MTU below the interface MTU. */
  readonly loweredPaths: number;
}

export interface QueueFrames {
  readonly egress: number;
  readonly ingress: number;
}

/** Verdicts by name and peers by id, all workers together, with what the kernel dropped before them. */
export function snapshot(
  counters: Counters,
  slots: Iterable<[string, number]>,
  kernel: KernelCounts,
): Pick<CounterSnapshot, 'verdicts' | 'peers'> {
  const counted = (number: number): FrameCount => {
    // The kernel counts no bytes of what it drops.
    if (number === DEVICE_QUEUE_FULL) return { frames: kernel.deviceDropped, bytes: 0 };
    if (number === SOCKET_DROPPED) return { frames: kernel.socketDropped, bytes: 0 };
    return verdictCount(counters, number);
  };
  return {
    verdicts: Object.fromEntries(VERDICTS.map(({ name }, number) => [name, counted(number)])),
    peers: Object.fromEntries([...slots].map(([id, slot]) => [id, peerCount(counters, slot)])),
  };
}

/** Statistics by direction, and frames by queue. @param egress workers of that direction, in the order of the queues */
export function workerCounts(
  counters: Counters,
  egress: readonly number[],
  ingress: readonly number[],
): Pick<CounterSnapshot, 'egress' | 'ingress' | 'queues'> {
  return {
    egress: readStats(counters, egress),
    ingress: readStats(counters, ingress),
    queues: egress.map((worker, queue) => ({
      egress: framesOf(counters, worker),
      ingress: framesOf(counters, elementAt(ingress, queue)),
    })),
  };
}

/** Frames by name of the verdict that these workers counted; verdicts without frames are left out. */
export function verdictsOf(counters: Counters, workers: readonly number[]): Record<string, number> {
  const blocks = counters.blocks.filter((_, worker) => workers.includes(worker));
  const counted = VERDICTS.map(({ name }, number): [string, number] => [
    name,
    blocks.reduce((sum, block) => sum + (block[number * VERDICT_NUMBERS] ?? 0), 0),
  ]);
  return Object.fromEntries(counted.filter(([, frames]) => frames > 0));
}
