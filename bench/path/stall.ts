/*
 * How long a table update holds up the forwarder: egress, vxlan, in this thread, while another one publishes all peers again.
 *   node dist/bench/path/stall.js PEERS SECONDS      prints two JSON lines: tables at rest, tables being published
 */
import { once } from 'node:events';
import { openSync, readSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { forwarderAlone } from './in-process.ts';
import { peers } from './peers.ts';
import { END, PUBLISH, type PublisherTask } from './publisher.ts';

export interface StallResult {
  /** Longest time that a few batches took, less what the thread waited for a core, microseconds. */
  stallUs: number;
  /** The same with that waiting: what a packet sees where cores are short. */
  gapUs: number;
  /** Updates meanwhile. */
  published: number;
}

const [count = 0, seconds = 0] = process.argv.slice(2).map(Number);
const orders = new SharedArrayBuffer(4);
const order = new Int32Array(orders);
const task: PublisherTask = { peers: count, orders };
const publisher = new Worker(new URL('./publisher.js', import.meta.url), { workerData: task });
const [tables] = (await once(publisher, 'message')) as [SharedArrayBuffer];
const { turns } = forwarderAlone({
  direction: 'egress',
  mode: 'vxlan',
  peers: peers(count, 'vxlan'),
  tables,
});

/** Batches between two looks at the clock, some tens of microseconds: looking costs about as much as one. */
const TURNS = 16;
const SPACE = 32;
/** This thread is the process' first. */
const schedule = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
const text = Buffer.alloc(128);

/** Nanoseconds that this thread was ready to run and had no core: the second number of schedstat. */
function waitedNs(): number {
  readSync(schedule, text, 0, text.length, 0);
  let at = 0;
  while (text[at] !== SPACE) at++;
  let waited = 0;
  for (at++; text[at] !== SPACE; at++) waited = waited * 10 + text[at]! - 48;
  return waited;
}

function longest(milliseconds: number): { stallUs: number; gapUs: number } {
  let [stall, gap] = [0, 0];
  const began = performance.now();
  let waited = waitedNs();
  for (let last = began; last - began < milliseconds; ) {
    turns(TURNS);
    const now = performance.now();
    const waitedNow = waitedNs();
    const took = now - last;
    const own = took - (waitedNow - waited) / 1e6;
    if (took > gap) gap = took;
    if (own > stall) stall = own;
    last = now;
    waited = waitedNow;
  }
  return { stallUs: stall * 1000, gapUs: gap * 1000 };
}

function tell(now: number): void {
  Atomics.store(order, 0, now);
  Atomics.notify(order, 0);
}

longest(300);
const rest: StallResult = { ...longest(seconds * 500), published: 0 };
tell(PUBLISH);
const busy = longest(seconds * 500);
tell(END);
const [published] = (await once(publisher, 'message')) as [number];
for (const result of [rest, { ...busy, published }]) process.stdout.write(`${JSON.stringify(result)}\n`);
