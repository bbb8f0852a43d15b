import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { HEADER_BYTES as VXLAN_HEADER_BYTES } from '../../encap/vxlan.ts';
import { native } from '../native/load.ts';
import {
  addGauge,
  BATCH_MAX,
  BATCHES,
  COALESCED,
  FALLBACKS,
  NATIVE_CALLS,
  openCounters,
  raiseGauge,
  SEGMENTS,
  WAKEUPS,
} from './descriptor/counters.ts';
import { type Batch, createBatch, FRAME_MAX } from './descriptor/descriptor.ts';
import { BAD_FLAGS, RUNT, TRUNCATED, UNKNOWN_PEER, VERDICTS, WRONG_VNI } from './descriptor/verdicts.ts';
import type { EgressRules } from './fast-path/classify-egress.ts';
import type { IngressRules } from './fast-path/classify-ingress.ts';
import { type Egress, egressTurn, type Ingress, ingressTurn } from './fast-path/forwarder.ts';
import { StampedDevice, StampedPort } from './fast-path/stamped.ts';
import { type WorkerMemory, WorkerOrders } from './growth.ts';
import { lagAnswerer } from './heartbeat.ts';
import type { OffloadSwitches } from './io/offloads.ts';
import { TunDevice } from './io/tun.ts';
import { Tuntap2Device } from './io/tuntap2.ts';
import { MESSAGES, SLOT_BYTES, UdpPort } from './io/udp.ts';
import type { Driver } from './options.ts';
import { Exceptions } from './slow-path/slow-path.ts';
import { openReader } from './tables/tables.ts';
import type { WatchedWorker } from './tap/registry.ts';
import { openTaps, type Taps, watchBatch } from './tap/tap.ts';

/** What the control thread hands to a worker: descriptors, shared memory, rules. */
export interface WorkerTask {
  readonly direction: 'egress' | 'ingress';
  /** Index of this worker: its block of counters, its line in the tables. */
  readonly index: number;
  /** Tables and counters to start with. */
  readonly memory: WorkerMemory;
  /** Whether to end, and which memory to use (`growth.ts`). */
  readonly orders: SharedArrayBuffer;
  /** eventfd that ends a wait. */
  readonly control: number;
  readonly tun: number;
  readonly driver: Driver;
  readonly mtu: number;
  /** MERGE_*, ACCEPT_UNFINISHED: what writes to the device may do. */
  readonly writeFlags: number;
  readonly receiver: number;
  readonly senders: readonly number[];
  readonly maxSegments: number;
  /** Raw sockets for ICMP answers, -1 where that family has none. */
  readonly icmp4: number;
  readonly icmp6: number;
  readonly egress: EgressRules;
  readonly ingress: IngressRules;
  readonly spinUs: number;
  readonly capture: WatchedWorker;
  /** By which the control thread asks for a sign of life (`lag.ts`). */
  readonly lag: SharedArrayBuffer;
}

/** What a worker tells the control thread. */
export type WorkerReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'too-big'; readonly slot: number; readonly bytes: number }
  | { readonly kind: 'refused'; readonly offloads: readonly (keyof OffloadSwitches)[] }
  | { readonly kind: 'failed'; readonly errno: number };

/** The longest wait; only a bound, since the control eventfd ends it sooner. */
const WAIT_MS = 1000;
/** Frames of one egress batch, and the bytes they may take: a dozen superframes stay within the second-level cache. */
const EGRESS_FRAMES = 64;
const EGRESS_BYTES = 12 * (FRAME_MAX + 256);
/** Datagrams of one ingress batch: every message may hold as many as UDP_SEGMENT puts into one. */
const INGRESS_DATAGRAMS = MESSAGES * 128;
/** After a failed read, so that a device that is gone does not spin the worker. */
const FAILURE_PAUSE_MS = 100;
/** Batches in a row with refused offloads after which a worker does without: one refusal may be an accident. */
const STRIKES = 16;
/** sched(7): a thread that does not interrupt others when it wakes up. */
const SCHED_BATCH = 3;
/** STAT_* of the native side: system calls, units, merged, fallbacks. */
const STATS = 4;

function report(message: WorkerReport): void {
  parentPort?.postMessage(message);
}

/** One turn of this worker's direction, and where its native side counts. */
interface Loop {
  turn(timeoutMs: number): number;
  readonly stats: Int32Array;
  /** Does without the offload that the kernel keeps refusing; tells which. */
  giveUp(): readonly (keyof OffloadSwitches)[];
  /** Goes on with other tables and counters, between two turns. */
  move(tables: SharedArrayBuffer, counters: Float64Array): void;
  /** Lets a capture see the batch of the last turn, of `count` frames. */
  watch(count: number): void;
}

/** Verdicts that leave DESC_OFFSET of a datagram in front of its encapsulation header. */
const UNOPENED = [TRUNCATED, RUNT, BAD_FLAGS, WRONG_VNI, UNKNOWN_PEER];

function tapsOf(task: WorkerTask, batch: Batch): Taps {
  const { direction } = task;
  const drops = [...VERDICTS.keys()].filter(number => VERDICTS[number]!.drop);
  const headerBytes = task.ingress.ethernet === 1 ? VXLAN_HEADER_BYTES : 0;
  return openTaps({ ...task.capture, batch, direction, drops, unopened: UNOPENED, headerBytes });
}

function openDevice(task: WorkerTask, spinUs: number, stats: Int32Array): TunDevice | Tuntap2Device {
  const { tun: fd, control, mtu, writeFlags: flags } = task;
  if (task.driver === 'tuntap2') return new Tuntap2Device(fd, control);
  return new TunDevice({ fd, control, mtu, flags, spinUs, stats });
}

function egressLoop(task: WorkerTask, counters: Float64Array): Loop {
  const batch = createBatch(EGRESS_FRAMES, EGRESS_BYTES);
  const stats = new Int32Array(STATS);
  const { control, spinUs, maxSegments } = task;
  const device = openDevice(task, spinUs, stats);
  const senders = Int32Array.from(task.senders);
  const port = new UdpPort({ receiver: -1, senders, control, maxSegments, spinUs, stats });
  const exceptions = new Exceptions({
    device,
    port,
    batch,
    flood: task.egress.flood,
    sendIcmp: ({ family, destination, message }) => {
      const fd = family === 4 ? task.icmp4 : task.icmp6;
      if (fd >= 0) native.rawSend(fd, destination, message, message.length);
    },
    reportTooBig: (slot, bytes) => report({ kind: 'too-big', slot, bytes }),
    nowMs: () => performance.now(),
  });
  const reader = openReader(task.memory.tables, task.index);
  const taps = tapsOf(task, batch);
  const stamped = new StampedDevice(device, taps);
  const egress: Egress = { device: stamped, port, batch, reader, rules: task.egress, exceptions, counters };
  return {
    turn: timeoutMs => egressTurn(egress, timeoutMs),
    move: (tables, block) => {
      egress.reader = openReader(tables, task.index);
      egress.counters = block;
    },
    stats,
    giveUp: () => {
      port.stopSegmenting();
      return ['udpGso'];
    },
    watch: count => watchBatch(taps, count, port.sources),
  };
}

function ingressLoop(task: WorkerTask, counters: Float64Array): Loop {
  const batch = createBatch(INGRESS_DATAGRAMS, MESSAGES * SLOT_BYTES);
  const stats = new Int32Array(STATS);
  const { control, spinUs } = task;
  const device = openDevice(task, 0, stats);
  const port = new UdpPort({
    receiver: task.receiver,
    senders: new Int32Array(0),
    control,
    maxSegments: 1,
    spinUs,
    stats,
  });
  const reader = openReader(task.memory.tables, task.index);
  const taps = tapsOf(task, batch);
  const stamped = new StampedPort(port, taps);
  const ingress: Ingress = { device, port: stamped, batch, reader, rules: task.ingress, counters };
  return {
    turn: timeoutMs => ingressTurn(ingress, timeoutMs),
    move: (tables, block) => {
      ingress.reader = openReader(tables, task.index);
      ingress.counters = block;
    },
    stats,
    giveUp: () => {
      if (device instanceof TunDevice) device.stopMerging();
      return ['mergeTcp', 'mergeUdp'];
    },
    watch: count => watchBatch(taps, count, port.sources),
  };
}

/** Adds what the native side counted to this worker's gauges. */
function harvest(counters: Float64Array, stats: Int32Array, frames: number): void {
  addGauge(counters, BATCHES, 1);
  raiseGauge(counters, BATCH_MAX, frames);
  addGauge(counters, NATIVE_CALLS, stats[0]!);
  addGauge(counters, SEGMENTS, stats[1]! + stats[2]!);
  addGauge(counters, COALESCED, stats[2]!);
  addGauge(counters, FALLBACKS, stats[3]!);
  for (let i = 0; i < STATS; i++) stats[i] = 0;
}

function run(task: WorkerTask, port: MessagePort): void {
  native.threadPolicy(0, SCHED_BATCH); // a kernel that refuses schedules it like any other thread
  let counters = openCounters(task.memory.counters).blocks[task.index]!;
  const orders = new WorkerOrders(task.orders, task.index, task.memory.version);
  const { turn, stats, watch, giveUp, move } =
    task.direction === 'egress' ? egressLoop(task, counters) : ingressLoop(task, counters);
  const answer = lagAnswerer(task.lag, () => native.eventClear(task.control) === 1);
  report({ kind: 'ready' });
  let strikes = 0;
  let failure = 0;
  while (!orders.isOver) {
    const count = turn(WAIT_MS);
    const memory = orders.newer(port);
    if (memory) {
      const block = openCounters(memory.counters).blocks[task.index]!;
      block.set(counters);
      counters = block;
      move(memory.tables, block);
      orders.taken(memory);
    }
    answer();
    addGauge(counters, WAKEUPS, 1);
    if (count > 0) {
      watch(count);
      strikes = stats[3] === 0 ? 0 : strikes + 1;
      harvest(counters, stats, count);
      if (strikes === STRIKES) report({ kind: 'refused', offloads: giveUp() });
    }
    if (count < 0 && count !== failure) report({ kind: 'failed', errno: -count }); // once, however long it lasts
    failure = Math.min(count, 0);
    if (count >= 0) continue;
    orders.pause(FAILURE_PAUSE_MS);
  }
}

if (parentPort) run(workerData as WorkerTask, parentPort);
