/*
 * The forwarder's own time, without kernel and without copies, one direction in one thread:
 *   node --expose-gc --no-concurrent-recompilation dist/bench/path/main.js DIRECTION MODE PEERS WATCHED SECONDS
 * prints one JSON line.
 * PEERS nodes; WATCHED 1 lets a capture look at each batch, which is switched off.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import type { Mode } from '../../encap/encap.ts';
import { tablesBytes } from '../../src/dataplane/tables/tables.ts';
import { forwarderAlone } from './in-process.ts';
import { peers, writerFor } from './peers.ts';

export interface PathResult {
  frames: number;
  /** Time on a core: what others take away is not the forwarder's. */
  seconds: number;
  /** Garbage collections while frames were carried. */
  collections: number;
  /** Bytes of the tables. */
  tableBytes: number;
  /** Milliseconds to publish all peers again. */
  publishMs: number;
}

const [direction, mode, count, watched, seconds] = process.argv.slice(2);
const writer = writerFor(Number(count), mode as Mode);
const all = peers(Number(count), mode as Mode);
writer.change({ set: all, removed: [] });
// Equal peers, but not the same objects, which would be no change.
const anew = all.map(peer => ({ ...peer }));
const published = performance.now();
writer.change({ set: anew, removed: [] });
const publishMs = performance.now() - published;

const { turns, forwarded } = forwarderAlone({
  direction: direction as 'egress' | 'ingress',
  mode: mode as Mode,
  peers: all,
  tables: writer.memory,
  watched: watched === '1',
});
// Several rounds, so that the way out of the loop is warm too.
for (let round = 0; round < 20; round++) turns(1000);
let collections = 0;
const observer = new PerformanceObserver(list => {
  collections += list.getEntries().length;
});
(globalThis as { gc?: () => void }).gc?.();
await new Promise(resolve => setImmediate(resolve));
observer.observe({ entryTypes: ['gc'] });
const before = forwarded();
let frames = 0;
const atFirst = process.cpuUsage();
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end) frames += turns(1000);
const { user, system } = process.cpuUsage(atFirst);
await new Promise(resolve => setTimeout(resolve, 10));
observer.disconnect();
const lost = frames - (forwarded() - before);
if (lost !== 0) throw new Error(`${lost} of ${frames} frames were not forwarded`);
const result: PathResult = {
  frames,
  seconds: (user + system) / 1e6,
  collections,
  tableBytes: tablesBytes(writer.tables.capacity),
  publishMs,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
