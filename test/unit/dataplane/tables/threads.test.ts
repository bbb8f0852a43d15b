import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { TablesWriter } from '../../../../src/dataplane/tables/writer.ts';
import { publish } from '../../../fixtures/tables.ts';
import { generation, PEERS } from './fixtures/generations.ts';
import { OVERLAY } from './fixtures/peers.ts';
import type { ReaderReport } from './fixtures/tables-reader.ts';

const READERS = 3;
const GENERATIONS = 1000;
/** So many changes of the tables each reader must see. */
const SEEN = 10;

t.test('while generations are published, every batch of every reader sees exactly one', async t => {
  const writer = new TablesWriter({ peers: PEERS, macs: PEERS, prefixes: PEERS, readers: READERS }, OVERLAY);
  publish(writer, generation(1));
  const stop = new Int32Array(new SharedArrayBuffer(4));
  /** Generations that each reader has seen so far. */
  const seen = new Int32Array(new SharedArrayBuffer(4 * READERS));
  const workers = Array.from({ length: READERS }, (_, reader) => {
    return new Worker(new URL('./fixtures/tables-reader.js', import.meta.url), {
      workerData: { memory: writer.memory, reader, stop, seen },
    });
  });
  const reports = workers.map(async worker => (await once(worker, 'message'))[0] as ReaderReport);
  await Promise.all(workers.map(worker => once(worker, 'online')));

  const pause = new Int32Array(new SharedArrayBuffer(4));
  let refused = 0;
  for (let tag = 2; tag <= GENERATIONS || seen.some(count => count <= SEEN); tag++) {
    let done = publish(writer, generation(tag));
    while (!done) {
      refused++;
      Atomics.wait(pause, 0, 0, 0.05);
      done = writer.flush();
    }
  }
  Atomics.store(stop, 0, 1);
  Atomics.notify(stop, 0);

  t.ok(refused > 0, `${refused} times a reader was not ready`);
  for (const [reader, { batches, generations, torn }] of (await Promise.all(reports)).entries()) {
    t.same(torn, [], `reader ${reader}: ${batches} batches, ${generations} generations`);
    t.ok(generations > SEEN, `reader ${reader} saw the tables change`);
  }
  await Promise.all(workers.map(worker => worker.terminate()));
});
