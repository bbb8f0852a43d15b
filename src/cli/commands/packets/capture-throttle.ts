import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../../native/load.ts';

/** sched(7). A SCHED_IDLE thread runs only on an otherwise idle core, and every thread that wakes up preempts it. */
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;
/** Records per second above which a capture is under load. */
const BUSY_RATE = 20_000;
/** Interval of the measurement, and how long the load must be over before the usual policy returns, milliseconds. */
const WINDOW_MS = 100;
const COOLDOWN_MS = 2000;

/** The machine has a core to spare when at least this many cores were idle. */
const SPARE_CORES = 0.5;
/** Pause after each batch as a multiple of the time that the batch took, under load without a core to spare. */
const PAUSE_FACTOR = 9;
/** The longest pause, milliseconds: time spent waiting for a disk or a pager is not CPU time. */
const PAUSE_MAX_MS = 100;

/** The functions of the operating system that `throttleUnderLoad` uses. */
export interface Scheduler {
  /** Milliseconds of any clock. */
  now(): number;
  /** Idle time of all cores together, milliseconds. */
  idleMs(): number;
  /** The policy of sched(7) for all threads of this process. */
  schedule(policy: number): void;
  pause(ms: number): Promise<unknown>;
}

/**
 * Passes the batches on. Under load, all threads of this process (V8's garbage collector has its own) run with
 * SCHED_IDLE, so that a capture does not slow down the traffic. A polling worker yields its core to idle threads, too;
 * so the process also pauses most of the time, unless there is a core to spare. Lost records count as load even if few
 * records arrive. If the kernel refuses the policy, the capture continues without it.
 */
export async function* throttleUnderLoad<R extends { readonly lost: number }>(
  batches: AsyncIterable<readonly R[]>,
  scheduler: Scheduler = SYSTEM_SCHEDULER,
): AsyncGenerator<readonly R[], void, void> {
  let since = scheduler.now();
  let idleSince = scheduler.idleMs();
  let records = 0;
  let busyAt = Number.NEGATIVE_INFINITY;
  let isBusy = false;
  let isFull = false;
  for await (const batch of batches) {
    records += batch.length;
    if (batch.some(({ lost }) => lost > 0)) records = Number.POSITIVE_INFINITY;
    const began = scheduler.now();
    const elapsed = began - since;
    if (elapsed >= WINDOW_MS) {
      since += elapsed;
      if (records * 1000 > BUSY_RATE * elapsed) busyAt = since;
      const busy = since - busyAt < COOLDOWN_MS;
      if (busy !== isBusy) scheduler.schedule(busy ? SCHED_IDLE : SCHED_OTHER);
      isBusy = busy;
      const idle = scheduler.idleMs();
      isFull = idle - idleSince < SPARE_CORES * elapsed;
      idleSince = idle;
      records = 0;
    }
    yield batch;
    if (isBusy && isFull)
      await scheduler.pause(Math.min(PAUSE_FACTOR * (scheduler.now() - began), PAUSE_MAX_MS));
  }
}

export const SYSTEM_SCHEDULER: Scheduler = {
  now: () => performance.now(),
  // proc(5), /proc/stat: the fourth and fifth figure of the first line, in ticks of 10 ms.
  idleMs: () => {
    const [, , , , idle, ioWait] = readFileSync('/proc/stat', 'utf8').split(/ +/, 6);
    return 10 * (Number(idle) + Number(ioWait));
  },
  schedule: policy => {
    for (const thread of readdirSync('/proc/self/task')) native.threadPolicy(Number(thread), policy);
  },
  pause: ms => sleep(ms),
};
