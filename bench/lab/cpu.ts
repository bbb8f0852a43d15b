import { readFileSync } from 'node:fs';

/** User ticks per second in /proc; USER_HZ is 100 on every Linux architecture that Node runs on. */
export const TICKS = 100;

/** CPU time of all cores together since boot, s, as ticks count it (proc(5), /proc/stat). */
export interface CpuTimes {
  user: number;
  /** In the kernel, without interrupts. */
  system: number;
  /** Interrupts and softirqs: on a network path mostly the reception of packets. */
  softirq: number;
}

export function cpuTimes(stat = readFileSync('/proc/stat', 'utf8')): CpuTimes {
  // user nice system idle iowait irq softirq steal; guest time is already in user
  const fields = stat.split('\n', 1)[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return { user: (user + nice) / TICKS, system: system / TICKS, softirq: (irq + softirq) / TICKS };
}

/** Seconds that all cores together have been busy since boot. */
export function busySeconds(stat?: string): number {
  const { user, system, softirq } = cpuTimes(stat);
  return user + system + softirq;
}
