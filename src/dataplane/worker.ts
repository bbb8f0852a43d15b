import { type MessagePort, parentPort } from 'node:worker_threads';
import { elementAt } from '../base/at.ts';
import { native } from '../native/load.ts';
import { READY_FIRST, READY_SECOND } from './descriptor/native-arguments.ts';
import { DirectionForwarder } from './direction.ts';
import { WorkerOrders } from './growth.ts';
import { heartbeatResponder } from './threads/heartbeat.ts';
import { nameThread } from './threads/thread-name.ts';
import { timedWait } from './timing/stage-clock.ts';
import { type DirectionTask, nameOf, type WorkerReport, type WorkerTask } from './worker-plans.ts';

/** Longest wait for a frame. Only a bound: the control eventfd ends a wait sooner. */
const WAIT_MS = 1000;
/** Pause after a failed read, so that a deleted device does not keep the worker busy. */
const FAILURE_PAUSE_MS = 100;
/** sched(7): a thread that does not interrupt others when it wakes up. */
const SCHED_BATCH = 3;

function report(message: WorkerReport): void {
  parentPort?.postMessage(message);
}

/** The bit of `waitReadable` that a direction depends on. */
const READY = { egress: READY_FIRST, ingress: READY_SECOND } as const;
const ALL_READY = READY.egress | READY.ingress;

/**
 * A wait for what the directions of a worker read. A thread with one direction reads whatever ended the wait: it polls within the
 * read.
 * @returns READY_* or -errno
 */
function waiter(task: WorkerTask, directions: readonly DirectionForwarder[]): () => number {
  const serves = (wanted: DirectionTask['direction']) =>
    task.directions.some(({ direction }) => direction === wanted);
  const device = serves('egress') ? task.tun : -1;
  const socket = serves('ingress') ? task.receiver : -1;
  const { control, busyPollMicroseconds, stages } = task;
  const interrupted = directions.length === 1 ? ALL_READY : 0;
  return timedWait(stages, directions, () => {
    const ready = native.waitReadable(device, socket, control, busyPollMicroseconds, WAIT_MS);
    for (const direction of directions) direction.countWakeup();
    return ready === 0 ? interrupted : ready;
  });
}

/**
 * Carries batches until the order to end. A turn serves each direction that may have something with one batch, so that neither
 * waits for longer than the other's batch takes; the direction that begins alternates. When a turn finds nothing, the worker polls
 * as long as that pays, and then sleeps.
 */
function run(task: WorkerTask, port: MessagePort): void {
  nameThread(nameOf(task.directions));
  native.threadPolicy(0, SCHED_BATCH); // best effort: a refusal leaves the default policy
  const directions = task.directions.map(one => new DirectionForwarder(task, one, report));
  const indices = task.directions.map(({ index }) => index);
  const orders = new WorkerOrders(task.orders, indices, task.memory.version);
  const wait = waiter(task, directions);
  const answerHeartbeat = heartbeatResponder(task.heartbeat, () => native.eventClear(task.control) === 1);
  const { busyPollMicroseconds } = task;
  // A thread with one direction polls within the read.
  const isPolling = directions.length > 1 && busyPollMicroseconds > 0;
  let ready = ALL_READY;
  let first = 0;
  let isFirstLook = true;
  let failure = 0;
  while (!orders.isOver) {
    const memory = orders.newer(port);
    if (memory) {
      for (const direction of directions) direction.use(memory);
      orders.taken(memory);
    }
    answerHeartbeat();
    let carried = 0;
    let failed = Math.min(ready, 0);
    for (let turn = 0; ready > 0 && turn < directions.length; turn++) {
      const direction = elementAt(directions, (first + turn) % directions.length);
      if ((ready & READY[direction.task.direction]) === 0) continue;
      const count = direction.forward();
      if (count > 0) carried += count;
      else failed = Math.min(failed, count);
    }
    first ^= 1;
    if (failed < 0 && failed !== failure) report({ kind: 'failed', errno: -failed }); // once per failure
    failure = failed;
    if (failed < 0) orders.pause(FAILURE_PAUSE_MS);
    const readsAgain: boolean =
      carried > 0 || (isPolling && native.busyPoll(isFirstLook ? 1 : 0, busyPollMicroseconds) === 1);
    isFirstLook = carried > 0 || !readsAgain;
    ready = readsAgain ? ALL_READY : wait();
  }
}

if (parentPort) {
  const port = parentPort;
  // Everything is loaded before the device is opened: from then on the packets of pods wait for this thread.
  // Without a task the thread ends: one that is terminated while it loads its files leaves them open.
  port.once('message', (task: WorkerTask | null) => task && run(task, port));
  report({ kind: 'ready' });
}
