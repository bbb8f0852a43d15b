/* The control thread's part of stall.ts: owns the tables and publishes all peers repeatedly until it is stopped. */
import { parentPort, workerData } from 'node:worker_threads';
import { peers, writerFor } from './peers.ts';

export interface PublisherTask {
  peers: number;
  /** One int32: WAIT, PUBLISH or END. */
  orders: SharedArrayBuffer;
}

export const WAIT = 0;
export const PUBLISH = 1;
export const END = 2;
/** Between two updates, and for a reader that has not moved on yet. */
const PAUSE_MS = 1;

if (parentPort) {
  const { peers: count, orders } = workerData as PublisherTask;
  const order = new Int32Array(orders);
  const writer = writerFor(count, 'vxlan');
  const all = peers(count, 'vxlan');
  writer.change({ set: all, removed: [] });
  parentPort.postMessage(writer.memory);
  let published = 0;
  for (;;) {
    const now = Atomics.load(order, 0);
    if (now === END) break;
    if (now === WAIT) Atomics.wait(order, 0, WAIT);
    else {
      // Equal peers, but not the same objects, which would be no change.
      if (writer.change({ set: all.map(peer => ({ ...peer })), removed: [] })) published++;
      Atomics.wait(order, 0, PUBLISH, PAUSE_MS);
    }
  }
  parentPort.postMessage(published);
}
