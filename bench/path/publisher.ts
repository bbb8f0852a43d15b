/* The control thread's part of stall.ts: owns the tables and publishes all peers anew, again and again, while it is told to. */
import { parentPort, workerData } from 'node:worker_threads';
import { TablesWriter } from '../../src/dataplane/tables/writer.ts';
import { capacityFor, peers } from './peers.ts';

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
  const writer = new TablesWriter(capacityFor(count, 0));
  const inputs = peers(count, 0, 'vxlan');
  writer.publish(inputs);
  parentPort.postMessage(writer.memory);
  let published = 0;
  for (;;) {
    const now = Atomics.load(order, 0);
    if (now === END) break;
    if (now === WAIT) Atomics.wait(order, 0, WAIT);
    else {
      // Equal peers, but not the same objects, which would be no change.
      if (writer.publish(inputs.map(input => ({ ...input })))) published++;
      Atomics.wait(order, 0, PUBLISH, PAUSE_MS);
    }
  }
  parentPort.postMessage(published);
}
