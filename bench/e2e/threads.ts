import { readdirSync, readFileSync } from 'node:fs';
import { TICKS } from '../lab/cpu.ts';

/** CPU time of a thread, s. Softirqs that interrupt it count as `system` (kernel/sched/cputime.c) unless the kernel accounts interrupts apart. */
export interface ThreadTime {
  user: number;
  system: number;
}

/**
 * CPU time of the threads of some processes by name: `node 1 egress-0`. The first thread is `main`, all that have its name
 * are `others`; threads of one process with the same name are summed.
 * @param pids one per node
 */
export function threadTimes(pids: readonly number[], proc = '/proc'): Map<string, ThreadTime> {
  const times = new Map<string, ThreadTime>();
  for (const [at, pid] of pids.entries()) {
    const first = statOf(`${proc}/${pid}/task/${pid}/stat`)?.name;
    for (const thread of readdirSync(`${proc}/${pid}/task`)) {
      const stat = statOf(`${proc}/${pid}/task/${thread}/stat`);
      if (stat === undefined) continue;
      const own = stat.name === first ? 'others' : stat.name;
      const name = `node ${at + 1} ${Number(thread) === pid ? 'main' : own}`;
      const sum = times.get(name) ?? { user: 0, system: 0 };
      times.set(name, { user: sum.user + stat.user, system: sum.system + stat.system });
    }
  }
  return times;
}

/** `pid (name) state ...`, in which the name may hold anything (proc(5)). Undefined for a thread that has just ended. */
function statOf(file: string): (ThreadTime & { name: string }) | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  const name = text.slice(text.indexOf('(') + 1, end);
  return { name, user: Number(fields[11]) / TICKS, system: Number(fields[12]) / TICKS };
}

/** What each thread used between two readings, those alone that used something. */
export function usedBetween(
  before: ReadonlyMap<string, ThreadTime>,
  after: ReadonlyMap<string, ThreadTime>,
): Map<string, ThreadTime> {
  const used = new Map<string, ThreadTime>();
  for (const [name, { user, system }] of after) {
    const then = before.get(name) ?? { user: 0, system: 0 };
    const time = { user: user - then.user, system: system - then.system };
    if (time.user + time.system > 0) used.set(name, time);
  }
  return used;
}
