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
import {
  type BatchTap,
  type Egress,
  forwardEgressBatch,
  forwardIngressBatch,
  type Ingress,
} from './fast-path/forwarder.ts';
import type { WorkerMemory } from './growth.ts';
import type { OffloadSwitches } from './io/offloads.ts';
import { TunDevice } from './io/tun.ts';
import { Tuntap2Device } from './io/tuntap2.ts';
import { RX_BATCH, RX_SLOT_BYTES, UdpPort } from './io/udp.ts';
import { SlowPath } from './slow-path/slow-path.ts';
import { openReader } from './tables/tables.ts';
import { noteDecided, noteRead, openTaps, recordLostFrames, tapBatch } from './tap/tap.ts';
import { type TimedForward, timedEgress, timedIngress } from './timing/stage-clock.ts';
import type { DirectionTask, WorkerReport, WorkerTask } from './worker-plans.ts';

/** Frames of one egress batch, and the bytes they may take: a dozen GSO packets stay within the second-level cache. */
const EGRESS_FRAMES = 64;
const EGRESS_BYTES = 12 * (FRAME_MAX + 256);
/** Datagrams of one ingress batch: every message may hold as many as UDP_SEGMENT puts into one. */
const INGRESS_DATAGRAMS = RX_BATCH * 128;
/** Consecutive batches with refused offloads before a direction stops using them: a single refusal may be transient. */
const MAX_CONSECUTIVE_ERRORS = 16;

/** The forwarder of one direction, with the memory that it counts in. */
interface Forwarder extends TimedForward {
  /** Replaces the tables and counters, between two batches. */
  use(memory: WorkerMemory, counters: Float64Array): void;
  /** Stops using the offloads that the kernel keeps refusing. @returns their names */
  disableOffloads(): readonly (keyof OffloadSwitches)[];
}

type Report = (message: WorkerReport) => void;

/** One direction of a queue: the forwarder with its device, port and counters. Belongs to one thread. */
export class DirectionForwarder {
  readonly task: DirectionTask;
  readonly #report: Report;
  readonly #stats = createStats();
  readonly #forwarder: Forwarder;
  #counters: Float64Array;
  #consecutiveErrors = 0;

  constructor(worker: WorkerTask, task: DirectionTask, report: Report) {
    this.task = task;
    this.#report = report;
    this.#counters = blockOf(worker.memory, task);
    const open = task.direction === 'egress' ? openEgress : openIngress;
    this.#forwarder = open({ worker, task, counters: this.#counters, stats: this.#stats, report });
  }

  /**
   * Carries one batch.
   * @returns frames handled, 0 when there was none, or -errno
   */
  forward(): number {
    const count = this.#forwarder.forward();
    if (count > 0) this.#account(count);
    return count;
  }

  /** Counts that a wait in the kernel ended. */
  countWakeup(): void {
    addStat(this.#counters, WAKEUPS, 1);
  }

  /** The thread slept for so long, as stage timing counts it. */
  slept(nanoseconds: number): void {
    this.#forwarder.slept(nanoseconds);
  }

  /** Counts from now on in newer memory, and reads the tables there. */
  use(memory: WorkerMemory): void {
    const block = blockOf(memory, this.task);
    block.set(this.#counters);
    this.#counters = block;
    this.#forwarder.use(memory, block);
  }

  #account(frames: number): void {
    const stats = this.#stats;
    const isRefused = stats[STAT_FALLBACKS] !== 0;
    collectStats(this.#counters, stats, frames);
    this.#consecutiveErrors = isRefused ? this.#consecutiveErrors + 1 : 0;
    if (this.#consecutiveErrors === MAX_CONSECUTIVE_ERRORS)
      this.#report({ kind: 'refused', offloads: this.#forwarder.disableOffloads() });
  }
}

function blockOf({ counters }: WorkerMemory, { index }: DirectionTask): Float64Array {
  return counterBlock(openCounters(counters), index);
}

/**
 * Moves what the native side counted to the counters of a direction.
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

/** What opens a direction. */
interface Opening {
  readonly worker: WorkerTask;
  readonly task: DirectionTask;
  readonly counters: Float64Array;
  readonly stats: Int32Array;
  readonly report: Report;
}

function openTap({ worker, task }: Opening, batch: Batch, sources: Int32Array): BatchTap {
  const headerBytes = worker.ingress.ethernet === 1 ? VXLAN_HEADER_BYTES : 0;
  const { direction, capture } = task;
  const taps = openTaps({ ...capture, batch, direction, headerBytes, wallMs: native.wallClock });
  return {
    lost: taps.losses ? LOST_MASK : 0,
    onRead: () => noteRead(taps),
    onDecided: generation => noteDecided(taps, generation),
    onDone: count => tapBatch(taps, count, sources),
    onLost: (count, generation, isTapped) => recordLostFrames(taps, count, sources, generation, isTapped),
  };
}

/** Busy polling within a read, of a thread that reads nothing else. */
function pollingOf({ directions, busyPollMicroseconds }: WorkerTask): number {
  return directions.length === 1 ? busyPollMicroseconds : 0;
}

function openDevice({ worker, stats }: Opening): TunDevice | Tuntap2Device {
  const { tun: fd, mtu, segmentMtu, writeFlags: flags, driver } = worker;
  const busyPollMicroseconds = pollingOf(worker);
  return driver === 'tuntap2'
    ? new Tuntap2Device(fd)
    : new TunDevice({ fd, mtu, segmentMtu, flags, stats, busyPollMicroseconds });
}

function openEgress(opening: Opening): Forwarder {
  const { worker, task, counters, stats, report } = opening;
  const batch = createBatch(EGRESS_FRAMES, EGRESS_BYTES);
  const device = openDevice(opening);
  const { maxSegments } = worker;
  const senders = Int32Array.from(worker.senders);
  const port = new UdpPort({
    ...{ receiver: -1, senders, maxSegments, stats },
    ...{ busyPollMicroseconds: 0, wholeHeaderBytes: 0 },
  });
  const slowPath = new SlowPath({
    device,
    port,
    batch,
    flood: worker.egress.flood,
    sendIcmp: ({ family, destination, message }) => {
      const fd = family === 4 ? worker.icmp4 : worker.icmp6;
      if (fd >= 0) native.rawSend(fd, destination, message);
    },
    reportTooBig: (slot, bytes) => report({ kind: 'too-big', slot, bytes }),
    nowMs: () => performance.now(),
  });
  const reader = openReader(worker.memory.tables, task.index);
  const tap = openTap(opening, batch, port.sources);
  const egress: Egress = { device, port, batch, reader, config: worker.egress, counters, tap, slowPath };
  return {
    ...timedEgress(egress, forwardEgressBatch, stats, { memory: worker.stages, index: task.index }),
    use: ({ tables }, block) => {
      egress.reader = openReader(tables, task.index);
      egress.counters = block;
    },
    disableOffloads: () => {
      port.stopSegmenting();
      return ['udpGso'];
    },
  };
}

function openIngress(opening: Opening): Forwarder {
  const { worker, task, counters, stats } = opening;
  const batch = createBatch(INGRESS_DATAGRAMS, RX_BATCH * RX_SLOT_BYTES);
  const device = openDevice(opening);
  const { receiver, ingress: config } = worker;
  const isWhole = config.ethernet === 1 && config.gsoPackets === 1;
  const port = new UdpPort({
    ...{
      receiver,
      senders: new Int32Array(0),
      maxSegments: 1,
      stats,
      busyPollMicroseconds: pollingOf(worker),
    },
    wholeHeaderBytes: isWhole ? VXLAN_HEADER_BYTES : 0,
  });
  const reader = openReader(worker.memory.tables, task.index);
  const tap = openTap(opening, batch, port.sources);
  const proofs = task.proofs && openProducer(task.proofs);
  const ingress: Ingress = { device, port, batch, reader, config, counters, tap, proofs };
  return {
    ...timedIngress(ingress, forwardIngressBatch, stats, { memory: worker.stages, index: task.index }),
    use: ({ tables }, block) => {
      ingress.reader = openReader(tables, task.index);
      ingress.counters = block;
    },
    disableOffloads: () => {
      if (device instanceof TunDevice) device.stopMerging();
      return ['mergeTcp', 'mergeUdp'];
    },
  };
}
