/*
 * Loaded into an agent with `node --expose-gc --import`: at SIGUSR2 the main thread collects its garbage and writes what is
 * left, by kind, to the file that RIPSTOP_SOAK_REPORT names. RIPSTOP_SOAK_SNAPSHOT names a folder for heap snapshots: one is
 * written at each report then.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { writeHeapSnapshot } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

export interface HeapReport {
  readonly sequence: number;
  readonly memory: NodeJS.MemoryUsage;
  /** Number of active resources by type: timers, sockets, pending requests. */
  readonly resources: Readonly<Record<string, number>>;
}

const { RIPSTOP_SOAK_REPORT: file, RIPSTOP_SOAK_SNAPSHOT: snapshots } = process.env;
const collect = (globalThis as { gc?: () => void }).gc;

if (isMainThread && file !== undefined && collect) {
  let sequence = 0;
  process.on('SIGUSR2', () => {
    // Twice: what a finalizer releases is garbage of the second one.
    collect();
    setImmediate(() => {
      collect();
      sequence++;
      if (snapshots !== undefined) writeHeapSnapshot(`${snapshots}/${process.pid}-${sequence}.heapsnapshot`);
      const resources: Record<string, number> = {};
      for (const type of process.getActiveResourcesInfo()) resources[type] = (resources[type] ?? 0) + 1;
      const report: HeapReport = { sequence, memory: process.memoryUsage(), resources };
      writeFileSync(`${file}.tmp`, JSON.stringify(report));
      renameSync(`${file}.tmp`, file);
    });
  });
}
