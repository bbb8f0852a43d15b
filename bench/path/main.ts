/*
 * The forwarder's own time, without kernel and without copies, one direction in one thread:
 *   node --expose-gc dist/bench/path/main.js DIRECTION MODE PEERS STATIONS WATCHED SECONDS     prints one JSON line
 * PEERS nodes, STATIONS further MACs behind them (vxlan); WATCHED 1 lets a capture look at each batch, which is switched off.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import type { Mode } from '../../encap/encap.ts';
import { tablesBytes } from '../../src/dataplane/tables/tables.ts';
import { TablesWriter } from '../../src/dataplane/tables/writer.ts';
import { forwarderAlone } from './in-process.ts';
import { capacityFor, peers } from './peers.ts';

export interface PathResult {
  frames: number;
  /** Time on a core: what others take away is not the forwarder's. */
  seconds: number;
  /** Garbage collections while frames were carried. */
  collections: number;
  /** Bytes of the tables. */
  tableBytes: number;
  /** Milliseconds to publish all peers anew. */
  publishMs: number;
}

const [direction, mode, count, stations, watched, seconds] = process.argv.slice(2);
const capacity = capacityFor(Number(count), Number(stations));
const writer = new TablesWriter(capacity);
const inputs = peers(Number(count), Number(stations), mode as Mode);
writer.publish(inputs);
// Equal peers, but not the same objects, which would be no change.
const anew = inputs.map(input => ({ ...input }));
const published = performance.now();
writer.publish(anew);
const publishMs = performance.now() - published;

const { turns, forwarded } = forwarderAlone({
  direction: direction as 'egress' | 'ingress',
  mode: mode as Mode,
  peers: inputs,
  tables: writer.memory,
  watched: watched === '1',
});
turns(20_000);
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
  tableBytes: tablesBytes(capacity),
  publishMs,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
