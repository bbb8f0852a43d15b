import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../../native/load.ts';

/** sched(7). An idle thread runs when nobody else wants to, and everybody who wakes up interrupts it. */
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;
/** Records a second that are a flood. */
const FLOOD = 20_000;
/** How often that is decided, and for how long there must be none before it counts as over, milliseconds. */
const TERM_MS = 100;
const CALM_MS = 2000;

/** Fewer cores than this without work are none to spare. */
const SPARE_CORES = 0.5;
/** Of its time a capture works one part and rests as many, while it is a flood and there is no core to spare. */
const REST = 9;
/** The longest rest, milliseconds: who waited for a disk or a pager has not worked. */
const REST_MAX_MS = 100;

/** What giving way asks of the machine. */
export interface Machine {
  /** Milliseconds of any clock. */
  now(): number;
  /** Milliseconds that all cores together had no work, of a clock of their own. */
  idleMs(): number;
  /** The policy of sched(7) for all threads of this process. */
  schedule(policy: number): void;
  rest(ms: number): Promise<unknown>;
}

/**
 * The same batches. While they are a flood, all threads of this process run only when nobody else wants to, so that a
 * capture takes no time from the traffic that it sees; V8's garbage collector has threads of its own. As a worker that
 * looks again lets others run, idle ones too, they also rest most of the time, unless there is a core to spare. What was
 * lost keeps it a flood, however little is read of it; what waits in buffers from before the loss does not end it. A
 * kernel that refuses changes nothing else.
 */
export async function* givingWay<R extends { readonly lost: number }>(
  batches: AsyncIterable<readonly R[]>,
  machine: Machine = THIS_MACHINE,
): AsyncGenerator<readonly R[], void, void> {
  let since = machine.now();
  let idleSince = machine.idleMs();
  let records = 0;
  let flooded = Number.NEGATIVE_INFINITY;
  let isFlood = false;
  let isFull = false;
  for await (const batch of batches) {
    records += batch.length;
    if (batch.some(({ lost }) => lost > 0)) records = Number.POSITIVE_INFINITY;
    const began = machine.now();
    const elapsed = began - since;
    if (elapsed >= TERM_MS) {
      since += elapsed;
      if (records * 1000 > FLOOD * elapsed) flooded = since;
      const flood = since - flooded < CALM_MS;
      if (flood !== isFlood) machine.schedule(flood ? SCHED_IDLE : SCHED_OTHER);
      isFlood = flood;
      const idle = machine.idleMs();
      isFull = idle - idleSince < SPARE_CORES * elapsed;
      idleSince = idle;
      records = 0;
    }
    yield batch;
    if (isFlood && isFull) await machine.rest(Math.min(REST * (machine.now() - began), REST_MAX_MS));
  }
}

export const THIS_MACHINE: Machine = {
  now: () => performance.now(),
  // proc(5), /proc/stat: the fourth and fifth figure of the first line, in ticks of 10 ms.
  idleMs: () => {
    const [, , , , idle, ioWait] = readFileSync('/proc/stat', 'utf8').split(/ +/, 6);
    return 10 * (Number(idle) + Number(ioWait));
  },
  schedule: policy => {
    for (const thread of readdirSync('/proc/self/task')) native.threadPolicy(Number(thread), policy);
  },
  rest: ms => sleep(ms),
};
