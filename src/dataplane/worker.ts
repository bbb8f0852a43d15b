import { type MessagePort, parentPort } from 'node:worker_threads';
import { HEADER_BYTES as VXLAN_HEADER_BYTES } from '../../encap/vxlan.ts';
import { native } from '../native/load.ts';
import {
  addStat,
  BATCH_MAX,
  BATCHES,
  COALESCED,
  counterBlock,
  FALLBACKS,
  maxStat,
  NATIVE_CALLS,
  openCounters,
  SEGMENTS,
  WAKEUPS,
} from './descriptor/counters.ts';
import { type Batch, createBatch, FRAME_MAX } from './descriptor/descriptor.ts';
import { openProducer } from './descriptor/ring.ts';
import { createStats, STAT_CALLS, STAT_FALLBACKS, STAT_MERGED, STAT_UNITS } from './descriptor/stats.ts';
import { LOST_MASK } from './descriptor/verdict-masks.ts';
import type { EgressConfig } from './fast-path/classify-egress.ts';
import type { IngressConfig } from './fast-path/classify-ingress.ts';
import {
  type BatchTap,
  type Egress,
  forwardEgressBatch,
  forwardIngressBatch,
  type Ingress,
} from './fast-path/forwarder.ts';
import { type WorkerMemory, WorkerOrders } from './growth.ts';
import { heartbeatResponder } from './heartbeat.ts';
import type { OffloadSwitches } from './io/offloads.ts';
import { TunDevice } from './io/tun.ts';
import { Tuntap2Device } from './io/tuntap2.ts';
import { RX_BATCH, RX_SLOT_BYTES, UdpPort } from './io/udp.ts';
import type { Driver } from './options.ts';
import { SlowPath } from './slow-path/slow-path.ts';
import { openReader } from './tables/tables.ts';
import type { WorkerTaps } from './tap/registry.ts';
import { noteDecided, noteRead, openTaps, recordLostFrames, tapBatch } from './tap/tap.ts';
import { nameThread } from './thread-name.ts';
import { timedEgress, timedIngress } from './timing/stage-clock.ts';

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
  readonly direction: 'egress' | 'ingress';
  /** Index of this worker: its block of counters, its line in the tables. */
  readonly index: number;
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
  readonly capture: WorkerTaps;
  /** Memory of the ring for proof messages; ingress only. */
  readonly proofs: SharedArrayBuffer | undefined;
  /** Heartbeat of this worker (`heartbeat.ts`). */
  readonly heartbeat: SharedArrayBuffer;
  /** Memory of stage timing (`timing/stages.ts`), of all workers. */
  readonly stages: SharedArrayBuffer;
}

/** What a worker reports to the control thread. */
export type WorkerReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'too-big'; readonly slot: number; readonly bytes: number }
  | { readonly kind: 'refused'; readonly offloads: readonly (keyof OffloadSwitches)[] }
  | { readonly kind: 'failed'; readonly errno: number };

/** Longest wait for a frame. Only a bound: the control eventfd ends a wait sooner. */
const WAIT_MS = 1000;
/** Frames of one egress batch, and the bytes they may take: a dozen GSO packets stay within the second-level cache. */
const EGRESS_FRAMES = 64;
const EGRESS_BYTES = 12 * (FRAME_MAX + 256);
/** Datagrams of one ingress batch: every message may hold as many as UDP_SEGMENT puts into one. */
const INGRESS_DATAGRAMS = RX_BATCH * 128;
/** Pause after a failed read, so that a deleted device does not keep the worker busy. */
const FAILURE_PAUSE_MS = 100;
/** Consecutive batches with refused offloads before a worker stops using them: a single refusal may be transient. */
const MAX_CONSECUTIVE_ERRORS = 16;
/** sched(7): a thread that does not interrupt others when it wakes up. */
const SCHED_BATCH = 3;

function report(message: WorkerReport): void {
  parentPort?.postMessage(message);
}

/** One direction of this worker. */
interface Loop {
  /** Carries one batch. @returns frames handled, 0 when none came, or -errno */
  forward(timeoutMs: number): number;
  /** What the native side counted. */
  readonly stats: Int32Array;
  /** Stops using the offloads that the kernel keeps refusing. @returns their names */
  disableOffloads(): readonly (keyof OffloadSwitches)[];
  /** Replaces tables and counters, between two batches. */
  useMemory(tables: SharedArrayBuffer, counters: Float64Array): void;
}

function openTap(task: WorkerTask, batch: Batch, sources: Int32Array): BatchTap {
  const headerBytes = task.ingress.ethernet === 1 ? VXLAN_HEADER_BYTES : 0;
  const { direction } = task;
  const taps = openTaps({ ...task.capture, batch, direction, headerBytes, wallMs: native.wallClock });
  return {
    lost: taps.losses ? LOST_MASK : 0,
    onRead: () => noteRead(taps),
    onDecided: generation => noteDecided(taps, generation),
    onDone: count => tapBatch(taps, count, sources),
    onLost: (count, generation, isTapped) => recordLostFrames(taps, count, sources, generation, isTapped),
  };
}

function openDevice(
  task: WorkerTask,
  busyPollMicroseconds: number,
  stats: Int32Array,
): TunDevice | Tuntap2Device {
  const { tun: fd, control, mtu, segmentMtu, writeFlags: flags } = task;
  if (task.driver === 'tuntap2') return new Tuntap2Device(fd, control);
  return new TunDevice({ fd, control, mtu, segmentMtu, flags, busyPollMicroseconds, stats });
}

function egressLoop(task: WorkerTask, counters: Float64Array): Loop {
  const batch = createBatch(EGRESS_FRAMES, EGRESS_BYTES);
  const stats = createStats();
  const { control, busyPollMicroseconds, maxSegments } = task;
  const device = openDevice(task, busyPollMicroseconds, stats);
  const senders = Int32Array.from(task.senders);
  const port = new UdpPort({
    ...{ receiver: -1, senders, control, maxSegments, busyPollMicroseconds, stats },
    wholeHeaderBytes: 0,
  });
  const slowPath = new SlowPath({
    device,
    port,
    batch,
    flood: task.egress.flood,
    sendIcmp: ({ family, destination, message }) => {
      const fd = family === 4 ? task.icmp4 : task.icmp6;
      if (fd >= 0) native.rawSend(fd, destination, message);
    },
    reportTooBig: (slot, bytes) => report({ kind: 'too-big', slot, bytes }),
    nowMs: () => performance.now(),
  });
  const reader = openReader(task.memory.tables, task.index);
  const tap = openTap(task, batch, port.sources);
  const egress: Egress = { device, port, batch, reader, config: task.egress, counters, tap, slowPath };
  return {
    forward: timedEgress(egress, forwardEgressBatch, stats, { memory: task.stages, index: task.index }),
    useMemory: (tables, block) => {
      egress.reader = openReader(tables, task.index);
      egress.counters = block;
    },
    stats,
    disableOffloads: () => {
      port.stopSegmenting();
      return ['udpGso'];
    },
  };
}

function ingressLoop(task: WorkerTask, counters: Float64Array): Loop {
  const batch = createBatch(INGRESS_DATAGRAMS, RX_BATCH * RX_SLOT_BYTES);
  const stats = createStats();
  const { control, busyPollMicroseconds, receiver } = task;
  const device = openDevice(task, 0, stats);
  const senders = new Int32Array(0);
  const isWhole = task.ingress.ethernet === 1 && task.ingress.gsoPackets === 1;
  const port = new UdpPort({
    ...{ receiver, senders, control, maxSegments: 1, busyPollMicroseconds, stats },
    wholeHeaderBytes: isWhole ? VXLAN_HEADER_BYTES : 0,
  });
  const reader = openReader(task.memory.tables, task.index);
  const tap = openTap(task, batch, port.sources);
  const proofs = task.proofs && openProducer(task.proofs);
  const ingress: Ingress = { device, port, batch, reader, config: task.ingress, counters, tap, proofs };
  return {
    forward: timedIngress(ingress, forwardIngressBatch, stats, { memory: task.stages, index: task.index }),
    useMemory: (tables, block) => {
      ingress.reader = openReader(tables, task.index);
      ingress.counters = block;
    },
    stats,
    disableOffloads: () => {
      if (device instanceof TunDevice) device.stopMerging();
      return ['mergeTcp', 'mergeUdp'];
    },
  };
}

/**
 * Moves what the native side counted to this worker's counters.
 * @hot
 */
function collectStats(counters: Float64Array, stats: Int32Array, frames: number): void {
  addStat(counters, BATCHES, 1);
  maxStat(counters, BATCH_MAX, frames);
  addStat(counters, NATIVE_CALLS, stats[STAT_CALLS]!);
  addStat(counters, SEGMENTS, stats[STAT_UNITS]! + stats[STAT_MERGED]!);
  addStat(counters, COALESCED, stats[STAT_MERGED]!);
  addStat(counters, FALLBACKS, stats[STAT_FALLBACKS]!);
  stats.fill(0);
}

function run(task: WorkerTask, port: MessagePort): void {
  nameThread(`${task.direction}-${task.index}`);
  native.threadPolicy(0, SCHED_BATCH); // best effort: a refusal leaves the default policy
  let counters = counterBlock(openCounters(task.memory.counters), task.index);
  const orders = new WorkerOrders(task.orders, task.index, task.memory.version);
  const { forward, stats, disableOffloads, useMemory } =
    task.direction === 'egress' ? egressLoop(task, counters) : ingressLoop(task, counters);
  const answerHeartbeat = heartbeatResponder(task.heartbeat, () => native.eventClear(task.control) === 1);
  let consecutiveErrors = 0;
  let failure = 0;
  while (!orders.isOver) {
    const count = forward(WAIT_MS);
    const memory = orders.newer(port);
    if (memory) {
      const block = counterBlock(openCounters(memory.counters), task.index);
      block.set(counters);
      counters = block;
      useMemory(memory.tables, block);
      orders.taken(memory);
    }
    answerHeartbeat();
    addStat(counters, WAKEUPS, 1);
    if (count > 0) {
      consecutiveErrors = stats[STAT_FALLBACKS] === 0 ? 0 : consecutiveErrors + 1;
      collectStats(counters, stats, count);
      if (consecutiveErrors === MAX_CONSECUTIVE_ERRORS)
        report({ kind: 'refused', offloads: disableOffloads() });
    }
    if (count < 0 && count !== failure) report({ kind: 'failed', errno: -count }); // once per failure
    failure = Math.min(count, 0);
    if (count < 0) orders.pause(FAILURE_PAUSE_MS);
  }
}

if (parentPort) {
  const port = parentPort;
  // Everything is loaded before the device is opened: from then on the packets of pods wait for this thread.
  // Without a task the thread ends: one that is terminated while it loads its files leaves them open.
  port.once('message', (task: WorkerTask | null) => task && run(task, port));
  report({ kind: 'ready' });
}
