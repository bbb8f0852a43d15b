import { readdirSync } from 'node:fs';
import { native } from '../../../native/load.ts';

/** sched(7). A SCHED_IDLE thread runs only on an otherwise idle core, and every thread that wakes up preempts it. */
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;
/** Records per second above which a capture is under load. */
const BUSY_RATE = 20_000;
/** Interval of the measurement, and how long the load must be over before the usual policy returns, milliseconds. */
const WINDOW_MS = 100;
const COOLDOWN_MS = 2000;

/** The functions of the operating system that `throttleUnderLoad` uses. */
export interface Scheduler {
  /** Milliseconds of any clock. */
  now(): number;
  /** Sets the policy of sched(7) for all threads of this process. */
  schedule(policy: number): void;
}

const SYSTEM_SCHEDULER: Scheduler = {
  now: () => performance.now(),
  schedule: policy => {
    for (const thread of readdirSync('/proc/self/task')) native.threadPolicy(Number(thread), policy);
  },
};

/**
 * Passes the batches on. Under load, all threads of this process (V8's garbage collector has its own) run with
 * SCHED_IDLE, so that a capture does not slow down the traffic. Lost records count as load even if few records arrive.
 * If the kernel refuses the policy, the capture continues without it.
 */
export async function* throttleUnderLoad<R extends { readonly lost: { readonly all: number } }>(
  batches: AsyncIterable<readonly R[]>,
  scheduler: Scheduler = SYSTEM_SCHEDULER,
): AsyncGenerator<readonly R[], void, void> {
  let since = scheduler.now();
  let records = 0;
  let busyAt = Number.NEGATIVE_INFINITY;
  let isBusy = false;
  for await (const batch of batches) {
    records += batch.length;
    if (batch.some(({ lost }) => lost.all > 0)) records = Number.POSITIVE_INFINITY;
    const elapsed = scheduler.now() - since;
    if (elapsed >= WINDOW_MS) {
      since += elapsed;
      if (records * 1000 > BUSY_RATE * elapsed) busyAt = since;
      const busy = since - busyAt < COOLDOWN_MS;
      if (busy !== isBusy) scheduler.schedule(busy ? SCHED_IDLE : SCHED_OTHER);
      isBusy = busy;
      records = 0;
    }
    yield batch;
  }
}
