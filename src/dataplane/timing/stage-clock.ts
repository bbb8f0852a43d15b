import { native } from '../../native/load.ts';
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

/** The clocks of a worker's thread. */
export interface StageClocks {
  /** Monotonic nanoseconds. */
  now(): number;
  /** As `native.waitTime`. */
  waited(isOn: number): number;
}

const CLOCKS: StageClocks = { now: () => performance.now() * 1e6, waited: native.waitTime };

/** The place of a worker in the memory of all stages. */
export interface StagePlace {
  readonly memory: SharedArrayBuffer;
  readonly index: number;
}

/** What one worker times with. */
interface StageClock {
  readonly clocks: StageClocks;
  readonly block: Float64Array;
  /** [0]: when the present stage began. */
  readonly since: Float64Array;
}

/**
 * A batch begins. What the thread has waited since the last one belongs to no stage.
 * @hot
 */
function begin(clock: StageClock): void {
  const { clocks, block, since } = clock;
  block[ASLEEP]! += clocks.waited(1);
  since[0] = clocks.now();
}

/**
 * The time since the last mark belongs to `stage`.
 * @hot
 */
function mark(clock: StageClock, stage: number): void {
  const { clocks, block, since } = clock;
  const now = clocks.now();
  block[stage]! += now - since[0]!;
  since[0] = now;
}

/**
 * As `mark` of the first stage, which may have waited.
 * @hot
 */
function markRead(clock: StageClock): void {
  mark(clock, READ);
  const slept = clock.clocks.waited(1);
  clock.block[READ]! -= slept;
  clock.block[ASLEEP]! += slept;
}

/**
 * A batch of `frames` has ended, or a wait without frames.
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

type Forward<C> = (context: C, timeoutMs: number) => number;

/** `forward` for this context, which times its stages while the flag in the memory is set. */
export function timedEgress(
  egress: Egress,
  forward: Forward<Egress>,
  stats: Int32Array,
  place: StagePlace,
  clocks = CLOCKS,
): (timeoutMs: number) => number {
  return timed(egress, forward, stats, place, clocks, clock => ({
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
  clocks = CLOCKS,
): (timeoutMs: number) => number {
  return timed(ingress, forward, stats, place, clocks, clock => ({
    device: timedDevice(ingress.device, clock),
    port: timedPort(ingress.port, clock),
  }));
}

function timed<C extends ForwardingContext<unknown>>(
  context: C,
  forward: Forward<C>,
  stats: Int32Array,
  { memory, index }: StagePlace,
  clocks: StageClocks,
  wrap: (clock: StageClock) => Partial<C>,
): (timeoutMs: number) => number {
  const flag = stageFlag(memory);
  const clock = { clocks, block: stageBlock(memory, index), since: new Float64Array(1) };
  // Its prototype is the context: tables and counters that are replaced there are replaced here.
  const observed: C = Object.assign(Object.create(context), wrap(clock));
  let isOn = 0;
  return timeoutMs => {
    const wanted = Atomics.load(flag, 0);
    if (wanted !== isOn) {
      isOn = wanted;
      clocks.waited(isOn);
    }
    if (isOn === 0) return forward(context, timeoutMs);
    begin(clock);
    const count = forward(observed, timeoutMs);
    end(clock, count, stats);
    return count;
  };
}

function timedDevice(device: FrameDevice, clock: StageClock): FrameDevice {
  return {
    readBatch: (batch, timeoutMs) => {
      const count = device.readBatch(batch, timeoutMs);
      markRead(clock);
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
    receiveBatch: (batch, timeoutMs) => {
      const count = port.receiveBatch(batch, timeoutMs);
      markRead(clock);
      return count;
    },
  };
}
