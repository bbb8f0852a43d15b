import { launch } from '../../src/lab/proc.ts';
import { tool } from './tool.ts';

/** What `bench/tools/counts.c` counts. */
export interface Counts {
  /** System calls of the processes; those that ended in EAGAIN; those that wait or yield. */
  calls: number;
  empty: number;
  waits: number;
  yields: number;
  /** Context switches of the processes. */
  switches: number;
  /** Interrupts that cores sent each other, the whole machine. */
  interrupts: number;
  /** Bytes that read(2) and write(2) of the processes copied. */
  copied: number;
}

/**
 * Counts while a task runs. Counting slows system calls, so nothing is timed meanwhile.
 * @throws RipstopError when the kernel does not let this process count
 */
export async function counted<T>(
  pids: readonly number[],
  task: () => Promise<T>,
): Promise<{ result: T; counts: Counts }> {
  const counter = launch([tool('counts'), ...pids.map(String)], { opensInput: true });
  try {
    await counter.saying(/^ready$/m);
    const result = await task();
    counter.endInput();
    const said = await counter.success();
    return { result, counts: JSON.parse(said.split('\n')[1] ?? '') as Counts };
  } finally {
    await counter.stop('SIGKILL');
  }
}
