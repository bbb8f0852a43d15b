import { readFileSync } from 'node:fs';

/** User ticks a second in /proc/stat; USER_HZ is 100 on every Linux architecture that Node runs on. */
const TICKS = 100;

/** Seconds that all cores together have been busy since boot, as ticks count them. */
export function busySeconds(stat = readFileSync('/proc/stat', 'utf8')): number {
  // user nice system idle iowait irq softirq steal; guest time is already in user
  const fields = stat.split('\n', 1)[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) / TICKS;
}
