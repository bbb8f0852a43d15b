import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** How often the CPU quota of a cgroup stopped its processes. */
export interface CpuStat {
  /** Path of the cgroup. */
  readonly cgroup: string;
  /** Periods in which the quota was used up, and the time that processes had to wait then, since the cgroup was made. */
  readonly throttled: number;
  readonly throttledMs: number;
}

/**
 * The statistics of the cgroup of this process and of those above it that have a quota: a pod may have one as well as its
 * container. Empty where none can be read.
 */
export function readCpuStats(root = '/sys/fs/cgroup', self = '/proc/self/cgroup'): CpuStat[] {
  const stats = new Map<string, CpuStat>();
  for (const { folder, path } of hierarchies(readText(self) ?? '', root)) {
    // A container sees its own cgroup as the root, while the path may be that of the host.
    for (let at = path; ; at = dirname(at)) {
      const stat = parseCpuStat(at, readText(join(folder, at, 'cpu.stat')));
      if (stat) stats.set(at, stat);
      if (at === '/' || at === '.') break;
    }
  }
  return [...stats.values()];
}

/** The hierarchies that may hold cpu.stat: the one of version 2, and that of the controller `cpu` of version 1. */
function hierarchies(text: string, root: string): { folder: string; path: string }[] {
  return text.split('\n').flatMap(line => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined) return [];
    if (controllers === '') return [root, join(root, 'unified')].map(folder => ({ folder, path }));
    const isCpu = controllers?.split(',').includes('cpu') ?? false;
    return isCpu ? [controllers ?? '', 'cpu'].map(name => ({ folder: join(root, name), path })) : [];
  });
}

/** @returns undefined where the text has no statistics of a quota */
function parseCpuStat(cgroup: string, text: string | undefined): CpuStat | undefined {
  const values = new Map(
    (text ?? '').split('\n').map(line => {
      const [name = '', value] = line.split(' ');
      return [name, Number(value)];
    }),
  );
  const throttled = values.get('nr_throttled');
  // Version 2 counts microseconds, version 1 nanoseconds.
  const micros = values.get('throttled_usec');
  const nanos = values.get('throttled_time');
  if (throttled === undefined || (micros === undefined && nanos === undefined)) return undefined;
  return { cgroup, throttled, throttledMs: micros === undefined ? (nanos ?? 0) / 1e6 : micros / 1000 };
}

/** Milliseconds that the threads of this process were ready to run and waited for a processor, since they started. */
export function readWaitingMs(folder = '/proc/self/task'): number {
  let nanos = 0;
  for (const thread of namesIn(folder)) {
    // The thread may have ended meanwhile.
    const [, waited = '0'] = (readText(join(folder, thread, 'schedstat')) ?? '').split(' ');
    nanos += Number(waited) || 0;
  }
  return nanos / 1e6;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
