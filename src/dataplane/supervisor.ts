import { Worker } from 'node:worker_threads';
import { elementAt } from '../base/at.ts';
import type { Log } from '../base/log.ts';
import { native } from '../native/load.ts';
import type { GrowingMemory, WorkerMemory } from './growth.ts';
import { HeartbeatMonitor, type Lag, maxLag } from './threads/heartbeat.ts';
import { StageTiming, type StageTotals } from './timing/stage-timing.ts';
import {
  type DirectionTask,
  nameOf,
  type WorkerIo,
  type WorkerReport,
  type WorkerTask,
} from './worker-plans.ts';

/** A task as the data plane describes it; the supervisor adds memory, heartbeat and stages, `run` the descriptors. */
export type WorkerPlan = Omit<WorkerTask, 'memory' | 'heartbeat' | 'stages' | keyof WorkerIo>;

type DirectionName = DirectionTask['direction'];

/** What a worker did for one direction in an interval. */
export interface WorkerStages extends StageTotals {
  /** `nameOf` the worker. */
  readonly worker: string;
  readonly direction: DirectionName;
}

interface SupervisorOptions {
  readonly log: Log;
  readonly device: string;
  readonly memory: GrowingMemory;
  /** A worker reports something other than its start or a failed read. */
  onReport(worker: string, report: Exclude<WorkerReport, { kind: 'ready' | 'failed' }>): void;
  /** The worker of a direction has ended and reads no tables any more. */
  onExit(direction: number): void;
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
  readonly #workers: readonly Supervised[];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #stages: StageTiming;
  #restarts = 0;
  #isStopping = false;

  /** @param plans one per worker; every direction is in one of them */
  constructor(options: SupervisorOptions, plans: readonly WorkerPlan[]) {
    this.#options = options;
    this.#stages = new StageTiming(plans.flatMap(({ directions }) => directions).length);
    this.#workers = plans.map(plan => {
      const heartbeat = new HeartbeatMonitor();
      const task = { ...plan, heartbeat: heartbeat.memory, stages: this.#stages.memory };
      return { task, io: undefined, heartbeat, thread: undefined, isRunning: false };
    });
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
      for (const worker of this.#workers) this.#wake(worker);
    }, HEARTBEAT_MS);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Restarts of workers that failed. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Times the stages of all directions. */
  async measureStages(milliseconds: number): Promise<WorkerStages[]> {
    const totals = await this.#stages.measure(milliseconds, direction => this.wake(direction));
    return this.#workers.flatMap(({ task: { directions } }) =>
      directions.map(({ index, direction }) => ({
        worker: nameOf(directions),
        direction,
        ...elementAt(totals, index),
      })),
    );
  }

  /** Response time of the slowest worker that serves such directions. */
  lag(name: DirectionName): Lag {
    const serves = ({ task }: Supervised) => task.directions.some(({ direction }) => direction === name);
    return maxLag(this.#workers.filter(serves).map(({ heartbeat }) => heartbeat.lag));
  }

  /** Slow answers of the last minute (`SLOW_MS`), of the worker that had most of them. */
  get slowResponses(): number {
    return Math.max(0, ...this.#workers.map(({ heartbeat }) => heartbeat.slow));
  }

  #workerOf(direction: number): Supervised | undefined {
    return this.#workers.find(({ task }) => indicesOf(task).includes(direction));
  }

  /** True while the worker of a direction carries packets. */
  isRunning(direction: number): boolean {
    return this.#workerOf(direction)?.isRunning === true;
  }

  /** Ends the wait of the worker of a direction, so that it checks for newer memory. This is also a heartbeat request. */
  wake(direction: number): void {
    this.#wake(this.#workerOf(direction));
  }

  #wake(worker: Supervised | undefined): void {
    if (worker?.isRunning) worker.heartbeat.ask(() => native.eventSignal(worker.task.control));
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
    const memory = this.#options.memory.start(indicesOf(task));
    thread.postMessage({ ...task, ...io, memory } satisfies WorkerTask);
  }

  /** Resolves when the thread waits for its task. */
  #startThread(worker: Supervised): Promise<void> {
    const { task } = worker;
    const { log, onExit } = this.#options;
    const thread = new Worker(new URL('./worker.js', import.meta.url), {
      name: nameOf(task.directions),
    });
    worker.thread = thread;
    const about = { worker: nameOf(task.directions) };
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
        for (const direction of indicesOf(task)) onExit(direction);
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

  #onReport(task: WorkerPlan, report: WorkerReport): void {
    const { log, device, onReport } = this.#options;
    const worker = nameOf(task.directions);
    if (report.kind === 'failed')
      log.error(
        { worker, errno: report.errno, device },
        report.errno === EBADFD ? 'overlay device was deleted' : 'read failed',
      );
    else if (report.kind !== 'ready') onReport(worker, report);
  }
}

const indicesOf = ({ directions }: WorkerPlan) => directions.map(({ index }) => index);
