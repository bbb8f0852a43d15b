import { readdirSync } from 'node:fs';
import { native } from '../native/load.ts';

/** sched(7). An idle thread runs when nobody else wants to, and everybody who wakes up interrupts it. */
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;
/** Records a second that are a flood. */
const FLOOD = 20_000;
/** How often that is decided, milliseconds. */
const TERM_MS = 100;

/**
 * The same batches. While they are a flood, all threads of this process run only when nobody else wants to, so that a
 * capture takes no time from the traffic that it sees; V8's garbage collector has threads of its own. What was lost
 * keeps it a flood, however little is read of it. A kernel that refuses changes nothing else.
 */
export async function* givingWay<R extends { readonly lost: number }>(
  batches: AsyncIterable<readonly R[]>,
  schedule = schedulePolicy,
  now = () => performance.now(),
): AsyncGenerator<readonly R[], void, void> {
  let since = now();
  let records = 0;
  let idle = false;
  for await (const batch of batches) {
    records += batch.length;
    if (batch.some(({ lost }) => lost > 0)) records = Number.POSITIVE_INFINITY;
    const elapsed = now() - since;
    if (elapsed >= TERM_MS) {
      const flood = records * 1000 > FLOOD * elapsed;
      if (flood !== idle) schedule(flood ? SCHED_IDLE : SCHED_OTHER);
      idle = flood;
      since += elapsed;
      records = 0;
    }
    yield batch;
  }
}

function schedulePolicy(policy: number): void {
  for (const thread of readdirSync('/proc/self/task')) native.threadPolicy(Number(thread), policy);
}
