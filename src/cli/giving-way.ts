import { readdirSync } from 'node:fs';
import { native } from '../native/load.ts';

/** sched(7). An idle thread runs when nobody else wants to, and everybody who wakes up interrupts it. */
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;
/** Records a second that are a flood. */
const FLOOD = 20_000;
/** How often that is decided, and for how long there must be none before it counts as over, milliseconds. */
const TERM_MS = 100;
const CALM_MS = 2000;

/**
 * The same batches. While they are a flood, all threads of this process run only when nobody else wants to, so that a
 * capture takes no time from the traffic that it sees; V8's garbage collector has threads of its own. What was lost
 * keeps it a flood, however little is read of it; what waits in buffers from before the loss does not end it. A kernel
 * that refuses changes nothing else.
 */
export async function* givingWay<R extends { readonly lost: number }>(
  batches: AsyncIterable<readonly R[]>,
  schedule = schedulePolicy,
  now = () => performance.now(),
): AsyncGenerator<readonly R[], void, void> {
  let since = now();
  let records = 0;
  let flooded = Number.NEGATIVE_INFINITY;
  let idle = false;
  for await (const batch of batches) {
    records += batch.length;
    if (batch.some(({ lost }) => lost > 0)) records = Number.POSITIVE_INFINITY;
    const elapsed = now() - since;
    if (elapsed >= TERM_MS) {
      since += elapsed;
      if (records * 1000 > FLOOD * elapsed) flooded = since;
      const flood = since - flooded < CALM_MS;
      if (flood !== idle) schedule(flood ? SCHED_IDLE : SCHED_OTHER);
      idle = flood;
      records = 0;
    }
    yield batch;
  }
}

function schedulePolicy(policy: number): void {
  for (const thread of readdirSync('/proc/self/task')) native.threadPolicy(Number(thread), policy);
}
