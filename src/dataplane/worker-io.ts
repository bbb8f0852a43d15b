import { ACCEPT_PARTIAL, MERGE_TCP, MERGE_UDP } from './descriptor/native-arguments.ts';
import type { Offloads } from './io/offloads.ts';
import type { WorkerIo } from './worker.ts';

/** Datagrams per message: UDP_MAX_SEGMENTS is 64 before Linux 6.9 and 128 since. A refusal falls back to single datagrams. */
export const SEGMENTS_PER_MESSAGE = 64;
/** Workers of one queue. */
export const DIRECTIONS = ['egress', 'ingress'] as const;

interface OpenDescriptors {
  /** Of the device. */
  readonly queues: readonly number[];
  /** One per queue. */
  readonly receivers: readonly number[];
  /** By DESC_SOCKET. */
  readonly senders: readonly number[];
}

/** What each worker gets once the device is open: the workers of a queue one after the other, in the order of DIRECTIONS. */
export function workerIo(
  { queues, receivers, senders }: OpenDescriptors,
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
    return DIRECTIONS.map(() => ({ tun, receiver, senders, writeFlags, maxSegments }));
  });
}
