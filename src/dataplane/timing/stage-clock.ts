import { STAT_CALLS, STAT_MERGED, STAT_UNITS } from '../descriptor/stats.ts';
import type { Egress, ForwardingContext, Ingress } from '../fast-path/forwarder.ts';
import type { DatagramPort, FrameDevice } from '../io/interfaces.ts';
import {
  ASLEEP,
  AT,
  BATCHES,
  CALLS,
  CLASSIFY,
  COUNT,
  FRAMES,
  READ,
  SEGMENTS,
  SEND,
  SLOW_PATH,
  stageBlock,
  stageFlag,
} from './stages.ts';

/*
 * Times the stages of a worker without a line in the forwarder: while timing is on, the forwarder runs with a context whose
 * device, port and slow path note the time when they are called and when they return. What lies between belongs to the stage
 * that the forwarder is in then. While it is off, a batch costs one load more.
 */

/** Monotonic nanoseconds by the clock of the worker's thread. */
export type MonotonicNs = () => number;

const MONOTONIC: MonotonicNs = () => performance.now() * 1e6;

/** The place of a direction in the memory of all stages. */
export interface StagePlace {
  readonly memory: SharedArrayBuffer;
  readonly index: number;
}

/** What one direction is timed with. */
interface StageClock {
  readonly now: MonotonicNs;
  readonly block: Float64Array;
  /** [0]: when the present stage began. */
  readonly since: Float64Array;
}

/**
 * A batch begins. What lies between it and the last one belongs to no stage.
 * @hot
 */
function begin(clock: StageClock): void {
  clock.since[0] = clock.now();
}

/**
 * The time since the last mark belongs to `stage`.
 * @hot
 */
function mark(clock: StageClock, stage: number): void {
  const { block, since } = clock;
  const now = clock.now();
  block[stage]! += now - since[0]!;
  since[0] = now;
}

/**
 * A batch of `frames` has ended, or a read without frames.
 * @hot
 */
function end(clock: StageClock, frames: number, stats: Int32Array): void {
  const { block } = clock;
  if (frames > 0) {
    mark(clock, COUNT);
    block[BATCHES]! += 1;
    block[FRAMES]! += frames;
    block[CALLS]! += stats[STAT_CALLS]!;
    block[SEGMENTS]! += stats[STAT_UNITS]! + stats[STAT_MERGED]!;
  }
  block[AT] = clock.since[0]!;
}

/**
 * A wait of `nanoseconds` has ended, which belongs to no stage.
 * @hot
 */
function addSleep(clock: StageClock, nanoseconds: number): void {
  const { block } = clock;
  block[ASLEEP]! += nanoseconds;
  block[AT] = clock.now();
}

type Forward<C> = (context: C) => number;

/** A direction whose stages are timed while the flag in the memory is set. */
export interface TimedForward {
  /** As `Forward`. */
  forward(): number;
  /** Its thread slept for so long; called only while the flag is set. */
  slept(nanoseconds: number): void;
}

/**
 * `wait`, which is timed while the flag in the memory is set. A thread with two directions sleeps for both of them: each has the
 * whole wait, so that the times of each make the interval of the thread. What the other direction takes is the rest of it.
 */
export function timedWait(
  memory: SharedArrayBuffer,
  directions: readonly Pick<TimedForward, 'slept'>[],
  wait: () => number,
  now = MONOTONIC,
): () => number {
  const flag = stageFlag(memory);
  return () => {
    if (Atomics.load(flag, 0) === 0) return wait();
    const start = now();
    const result = wait();
    const slept = now() - start;
    for (const direction of directions) direction.slept(slept);
    return result;
  };
}

/** `forward` for this context, which times its stages while the flag in the memory is set. */
export function timedEgress(
  egress: Egress,
  forward: Forward<Egress>,
  stats: Int32Array,
  place: StagePlace,
  now = MONOTONIC,
): TimedForward {
  return timed(egress, forward, stats, place, now, clock => ({
    device: timedDevice(egress.device, clock),
    port: timedPort(egress.port, clock),
    slowPath: {
      handle: (batch, count, tables) => {
        mark(clock, CLASSIFY);
        egress.slowPath.handle(batch, count, tables);
        mark(clock, SLOW_PATH);
      },
      reportSendErrors: (batch, count, tables) => egress.slowPath.reportSendErrors(batch, count, tables),
    },
  }));
}

/** As `timedEgress`. */
export function timedIngress(
  ingress: Ingress,
  forward: Forward<Ingress>,
  stats: Int32Array,
  place: StagePlace,
  now = MONOTONIC,
): TimedForward {
  return timed(ingress, forward, stats, place, now, clock => ({
    device: timedDevice(ingress.device, clock),
    port: timedPort(ingress.port, clock),
  }));
}

function timed<C extends ForwardingContext<unknown>>(
  context: C,
  forward: Forward<C>,
  stats: Int32Array,
  { memory, index }: StagePlace,
  now: MonotonicNs,
  wrap: (clock: StageClock) => Partial<C>,
): TimedForward {
  const flag = stageFlag(memory);
  const clock = { now, block: stageBlock(memory, index), since: new Float64Array(1) };
  // Its prototype is the context: tables and counters that are replaced there are replaced here.
  const observed: C = Object.assign(Object.create(context), wrap(clock));
  return {
    forward: () => {
      if (Atomics.load(flag, 0) === 0) return forward(context);
      begin(clock);
      const count = forward(observed);
      end(clock, count, stats);
      return count;
    },
    slept: nanoseconds => addSleep(clock, nanoseconds),
  };
}

function timedDevice(device: FrameDevice, clock: StageClock): FrameDevice {
  return {
    readBatch: batch => {
      const count = device.readBatch(batch);
      mark(clock, READ);
      return count;
    },
    writeBatch: (batch, count) => {
      mark(clock, CLASSIFY);
      const refused = device.writeBatch(batch, count);
      mark(clock, SEND);
      return refused;
    },
  };
}

function timedPort(port: DatagramPort, clock: StageClock): DatagramPort {
  return {
    sources: port.sources,
    sendBatch: (batch, count, peers) => {
      mark(clock, CLASSIFY);
      const refused = port.sendBatch(batch, count, peers);
      mark(clock, SEND);
      return refused;
    },
    receiveBatch: batch => {
      const count = port.receiveBatch(batch);
      mark(clock, READ);
      return count;
    },
  };
}
