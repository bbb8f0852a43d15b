import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../src/lab/until.ts';
import type { QuantityId } from './criterion.ts';
import type { HeapReport } from './heap-report.ts';
import type { SoakNode } from './node.ts';

/** What the kernel and the agent itself tell about one agent at one moment. */
export type Reading = Partial<Record<QuantityId, number>>;

const KIB_A_MB = 1024;
const BYTES_A_MB = 1 << 20;

/** Reads everything that is watched of an agent. Call it while nothing is being changed. */
export async function readAll(node: SoakNode): Promise<Reading> {
  // Before the forced collection, which would hide garbage that the agent itself leaves for long.
  const resident = memoryOf(node.pid);
  return {
    ...resident,
    ...processOf(node.pid),
    ...kernelOf(node),
    ...filesOf(node),
    ...(await heapOf(node)),
  };
}

function memoryOf(pid: number): Reading {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mb = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)![1]) / KIB_A_MB;
  return { rss: mb('Rss'), pss: mb('Pss'), privateDirty: mb('Private_Dirty') };
}

function processOf(pid: number): Reading {
  const descriptors = readdirSync(`/proc/${pid}/fd`);
  const threads = readdirSync(`/proc/${pid}/task`);
  const held = new Set<string>();
  for (const link of [
    ...descriptors.map(fd => `/proc/${pid}/fd/${fd}`),
    ...threads.map(task => `/proc/${pid}/task/${task}/ns/net`),
  ]) {
    const target = targetOf(link);
    if (target.startsWith('net:')) held.add(target);
  }
  const mappings = readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n').length;
  return {
    descriptors: descriptors.length,
    threads: threads.length,
    namespaces: held.size,
    mappings,
  };
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    // Closed between the list and this call.
    return '';
  }
}

function kernelOf({ node: { ns } }: SoakNode): Reading {
  const lines = (...argv: string[]): number =>
    ns
      .attempt(argv)
      .stdout.split('\n')
      .filter(line => line.trim() !== '').length;
  const both = (...words: string[]): number => lines('ip', '-4', ...words) + lines('ip', '-6', ...words);
  return {
    routes: both('route', 'show', 'table', 'all'),
    neighbours: both('neigh', 'show', 'nud', 'permanent'),
    policies: both('rule', 'show'),
    links: lines('ip', '-o', 'link', 'show'),
    rules: lines('nft', 'list', 'ruleset') + lines('iptables-save'),
  };
}

function filesOf({ folders }: SoakNode): Reading {
  return { inodes: folders.reduce((sum, folder) => sum + entriesOf(folder), 0) };
}

function entriesOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce(
    (sum, entry) => sum + 1 + (entry.isDirectory() ? entriesOf(join(folder, entry.name)) : 0),
    0,
  );
}

/** Has the agent collect its garbage and tell what is left. Only where it was started for that: see `SoakNode`. */
async function heapOf(node: SoakNode): Promise<Reading> {
  const { report } = node;
  if (report === undefined) return {};
  const before = reportIn(report)?.sequence ?? 0;
  process.kill(node.pid, 'SIGUSR2');
  await until('the report of the heap', () => (reportIn(report)?.sequence ?? 0) > before);
  const { memory, resources } = reportIn(report)!;
  return {
    heap: memory.heapUsed / BYTES_A_MB,
    external: memory.external / BYTES_A_MB,
    buffers: memory.arrayBuffers / BYTES_A_MB,
    resources: Object.values(resources).reduce((sum, number) => sum + number, 0),
  };
}

function reportIn(file: string): HeapReport | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as HeapReport;
  } catch {
    return undefined;
  }
}
