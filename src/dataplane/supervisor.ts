import { Worker } from 'node:worker_threads';
import type { Log } from '../base/log.ts';
import { native } from '../native/load.ts';
import type { GrowingMemory, WorkerMemory } from './growth.ts';
import { HeartbeatMonitor, type Lag, maxLag } from './heartbeat.ts';
import { StageTiming, type StageTotals } from './timing/stage-timing.ts';
import type { WorkerIo, WorkerReport, WorkerTask } from './worker.ts';

/** A task as the data plane describes it; the supervisor adds memory, heartbeat and stages, `run` the descriptors. */
export type WorkerPlan = Omit<WorkerTask, 'index' | 'memory' | 'heartbeat' | 'stages' | keyof WorkerIo>;

type Direction = WorkerTask['direction'];

/** What a worker did in an interval. */
export interface WorkerStages extends StageTotals {
  readonly worker: number;
  readonly direction: Direction;
}

interface SupervisorOptions {
  readonly log: Log;
  readonly device: string;
  readonly memory: GrowingMemory;
  /** A worker reports something other than its start or a failed read. */
  onReport(worker: number, report: Exclude<WorkerReport, { kind: 'ready' | 'failed' }>): void;
  /** A worker has ended and reads no tables any more. */
  onExit(worker: number): void;
}

const RESTART_MS = 100;
const HEARTBEAT_MS = 1000;
/** errno of a read from a TUN or TAP whose device was deleted. */
const EBADFD = 77;

interface Supervised {
  readonly task: Omit<WorkerTask, 'memory' | keyof WorkerIo>;
  /** Undefined until `run`. */
  io: WorkerIo | undefined;
  readonly heartbeat: HeartbeatMonitor;
  thread: Worker | undefined;
  /** Its thread has a task; otherwise the thread waits for one, or there is none. */
  isRunning: boolean;
}

/** Starts the workers, restarts those that fail, measures their response times and receives their reports. */
export class WorkerSupervisor {
  readonly #options: SupervisorOptions;
  readonly #workers: Supervised[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #stages: StageTiming;
  #restarts = 0;
  #isStopping = false;

  /** @param plans one per worker; the index of a worker is its place */
  constructor(options: SupervisorOptions, plans: readonly WorkerPlan[]) {
    this.#options = options;
    this.#stages = new StageTiming(plans.length);
    for (const [index, plan] of plans.entries()) {
      const heartbeat = new HeartbeatMonitor();
      const task = { ...plan, index, heartbeat: heartbeat.memory, stages: this.#stages.memory };
      this.#workers.push({ task, io: undefined, heartbeat, thread: undefined, isRunning: false });
    }
  }

  /** Starts the threads. Resolves when all of them wait for `run`. */
  async start(): Promise<void> {
    await Promise.all(this.#workers.map(worker => this.#startThread(worker)));
  }

  /** Lets the threads carry packets. @param io descriptors by worker */
  run(io: readonly WorkerIo[]): void {
    for (const [index, worker] of this.#workers.entries()) {
      worker.io = io[index];
      this.#give(worker);
    }
    const timer = setInterval(() => {
      for (const index of this.#workers.keys()) this.wake(index);
    }, HEARTBEAT_MS);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Restarts of workers that failed. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Indices of the workers of a direction. */
  workersOf(direction: Direction): number[] {
    return this.#of(direction).map(({ task }) => task.index);
  }

  /** Times the stages of all workers. */
  async measureStages(milliseconds: number): Promise<WorkerStages[]> {
    const totals = await this.#stages.measure(milliseconds, worker => this.wake(worker));
    return totals.map((measured, worker) => ({ worker, direction: this.#directionOf(worker), ...measured }));
  }

  #directionOf(worker: number): Direction {
    return this.#workers[worker]?.task.direction ?? 'egress';
  }

  /** Response time of the slowest worker of a direction. */
  lag(direction: Direction): Lag {
    return maxLag(this.#of(direction).map(({ heartbeat }) => heartbeat.lag));
  }

  /** Slow answers of the last minute (`SLOW_MS`), of the worker that had most of them. */
  get slowResponses(): number {
    return Math.max(0, ...this.#workers.map(({ heartbeat }) => heartbeat.slow));
  }

  #of(direction: Direction): Supervised[] {
    return this.#workers.filter(({ task }) => task.direction === direction);
  }

  isRunning(worker: number): boolean {
    return this.#workers[worker]?.isRunning === true;
  }

  /** Ends the wait of a worker, so that it checks for newer memory. This is also a heartbeat request. */
  wake(worker: number): void {
    const supervised = this.#workers[worker];
    if (supervised?.isRunning) supervised.heartbeat.ask(() => native.eventSignal(supervised.task.control));
  }

  /** Sends newer memory to all workers that carry packets: the others get it with their task. */
  post(memory: WorkerMemory): void {
    for (const { thread, isRunning } of this.#workers) if (isRunning) thread?.postMessage(memory);
  }

  /** Resolves when all workers have ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#options.memory.stop();
    const ended = this.#workers.map(
      ({ thread }) => thread && new Promise<void>(done => thread.once('exit', () => done())),
    );
    for (const { task, thread, isRunning } of this.#workers)
      if (isRunning) native.eventSignal(task.control);
      else thread?.postMessage(null);
    await Promise.all(ended);
  }

  #give(worker: Supervised): void {
    const { task, io, thread } = worker;
    if (!io || !thread) return;
    worker.isRunning = true;
    const memory = this.#options.memory.start(task.index);
    thread.postMessage({ ...task, ...io, memory } satisfies WorkerTask);
  }

  /** Resolves when the thread waits for its task. */
  #startThread(worker: Supervised): Promise<void> {
    const { task } = worker;
    const { log, onExit } = this.#options;
    const thread = new Worker(new URL('./worker.js', import.meta.url), {
      name: `${task.direction}-${task.index}`,
    });
    worker.thread = thread;
    const about = { worker: task.index, direction: task.direction };
    return new Promise((ready, failed) => {
      thread.on('message', (report: WorkerReport) => {
        if (report.kind === 'ready') ready();
        else this.#onReport(task, report);
      });
      thread.on('error', error => {
        log.error({ ...about, err: error.message }, 'worker failed');
        failed(error);
      });
      thread.on('exit', code => {
        worker.thread = undefined;
        worker.isRunning = false;
        onExit(task.index);
        if (this.#isStopping || code === 0) return;
        this.#restarts++;
        log.warn({ ...about, code }, 'worker ended, restarting it');
        this.#restart(worker);
      });
    });
  }

  #restart(worker: Supervised): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#startThread(worker).then(
        () => this.#give(worker),
        () => {}, // its exit event starts the next attempt
      );
    }, RESTART_MS);
    this.#timers.add(timer);
  }

  #onReport({ index, direction }: WorkerPlan & { index: number }, report: WorkerReport): void {
    const { log, device, onReport } = this.#options;
    if (report.kind === 'failed')
      log.error(
        { worker: index, direction, errno: report.errno, device },
        report.errno === EBADFD ? 'overlay device was deleted' : 'read failed',
      );
    else if (report.kind !== 'ready') onReport(index, report);
  }
}
