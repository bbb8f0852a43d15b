import { writeFileSync } from 'node:fs';

/** TASK_COMM_LEN without its final zero (include/linux/sched.h). */
const LONGEST = 15;

/** Names this thread for `top -H`, profilers and /proc. Best effort: where /proc cannot be written, the name stays Node's. */
export function nameThread(name: string): void {
  try {
    writeFileSync('/proc/thread-self/comm', name.slice(0, LONGEST));
  } catch {
    // Only what shows names lacks it.
  }
}
