import { elementAt } from '../base/at.ts';
import { ACCEPT_PARTIAL, MERGE_TCP, MERGE_UDP } from './descriptor/native-arguments.ts';
import type { EgressConfig } from './fast-path/classify-egress.ts';
import type { IngressConfig } from './fast-path/classify-ingress.ts';
import type { WorkerMemory } from './growth.ts';
import type { OffloadSwitches, Offloads } from './io/offloads.ts';
import type { Driver, ThreadsPerQueue } from './options.ts';
import type { WorkerTaps } from './tap/registry.ts';

/** One direction of a queue, as a worker serves it. */
export interface DirectionTask {
  readonly direction: 'egress' | 'ingress';
  /** Among the directions of all queues: its block of counters, its line in the tables. */
  readonly index: number;
  readonly capture: WorkerTaps;
  /** Memory of the ring for proof messages; ingress only. */
  readonly proofs: SharedArrayBuffer | undefined;
}

/** Descriptors of a worker, and what the kernel granted for them. They exist while the device is open. */
export interface WorkerIo {
  readonly tun: number;
  readonly receiver: number;
  readonly senders: readonly number[];
  /** MERGE_*, ACCEPT_PARTIAL: what writes to the device may do. */
  readonly writeFlags: number;
  readonly maxSegments: number;
}

/** What the control thread hands to a worker: descriptors, shared memory, configuration. */
export interface WorkerTask extends WorkerIo {
  /** One or both directions of a queue. */
  readonly directions: readonly DirectionTask[];
  /** Tables and counters to start with. */
  readonly memory: WorkerMemory;
  /** Whether to end, and which memory to use (`growth.ts`). */
  readonly orders: SharedArrayBuffer;
  /** eventfd that ends a wait. */
  readonly control: number;
  readonly driver: Driver;
  readonly mtu: number;
  /** See `TunOptions`; shared by all workers. */
  readonly segmentMtu: Int32Array;
  /** Raw sockets for ICMP errors, -1 for a family without one. */
  readonly icmp4: number;
  readonly icmp6: number;
  readonly egress: EgressConfig;
  readonly ingress: IngressConfig;
  readonly busyPollMicroseconds: number;
  /** Heartbeat of this worker (`threads/heartbeat.ts`). */
  readonly heartbeat: SharedArrayBuffer;
  /** Memory of stage timing (`timing/stages.ts`), of all directions. */
  readonly stages: SharedArrayBuffer;
}

/** What a worker reports to the control thread. */
export type WorkerReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'too-big'; readonly slot: number; readonly bytes: number }
  | { readonly kind: 'refused'; readonly offloads: readonly (keyof OffloadSwitches)[] }
  | { readonly kind: 'failed'; readonly errno: number };

/** Directions of one queue, in the order of their indices. */
const DIRECTIONS = ['egress', 'ingress'] as const;

/** Datagrams per message: UDP_MAX_SEGMENTS is 64 before Linux 6.9 and 128 since. A refusal falls back to single datagrams. */
export const SEGMENTS_PER_MESSAGE = 64;

/** Directions of all queues. */
export const directionsOf = (queues: number) => queues * DIRECTIONS.length;

/** Indices of the directions of this name. */
export function indicesOf(direction: DirectionTask['direction'], queues: number): number[] {
  return Array.from({ length: queues }, (_, queue) => directionsOf(queue) + DIRECTIONS.indexOf(direction));
}

/** How many threads serve a queue when nothing is said: one was not faster where it was measured (docs/decisions/0146). */
export const USUAL_THREADS: ThreadsPerQueue = 2;

/** What logs call a worker, and what its thread is called: `egress-0`, or `both-0` after the first of its two indices. */
export function nameOf(directions: readonly DirectionTask[]): string {
  const { direction, index } = elementAt(directions, 0);
  return `${directions.length > 1 ? 'both' : direction}-${index}`;
}

/** Makes the memory by which a direction reports to the control thread. */
export interface DirectionMemory {
  /** For each direction. */
  taps(): WorkerTaps;
  /** For each ingress direction. */
  proofs(): SharedArrayBuffer;
}

/** What each worker serves. @param add called in the order of the indices */
export function workerDirections(
  queues: number,
  threads: ThreadsPerQueue,
  add: DirectionMemory,
): DirectionTask[][] {
  return Array.from({ length: queues }, (_, queue) => {
    const both = DIRECTIONS.map((direction, at) => ({
      direction,
      index: directionsOf(queue) + at,
      capture: add.taps(),
      proofs: direction === 'ingress' ? add.proofs() : undefined,
    }));
    return threads === 1 ? [both] : both.map(one => [one]);
  }).flat();
}

interface OpenDescriptors {
  /** One per queue, as the receivers. */
  readonly queues: readonly number[];
  readonly receivers: readonly number[];
  readonly senders: readonly number[];
}

/** The descriptors of each worker, in the order of `workerDirections`. */
export function workerIo(
  { queues, receivers, senders }: OpenDescriptors,
  threads: ThreadsPerQueue,
  offloads: Offloads,
  acceptPartialChecksums: boolean,
): WorkerIo[] {
  const writeFlags =
    (offloads.mergeTcp === 'on' ? MERGE_TCP : 0) |
    (offloads.mergeUdp === 'on' ? MERGE_UDP : 0) |
    (acceptPartialChecksums ? ACCEPT_PARTIAL : 0);
  const maxSegments = offloads.udpGso === 'on' ? SEGMENTS_PER_MESSAGE : 1;
  return queues.flatMap((tun, queue) => {
    const receiver = receivers[queue];
    if (receiver === undefined) throw new Error(`queue ${queue} has no receiving socket`);
    return Array.from({ length: threads }, () => ({ tun, receiver, senders, writeFlags, maxSegments }));
  });
}
