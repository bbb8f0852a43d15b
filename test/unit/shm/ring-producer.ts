import { workerData } from 'node:worker_threads';
import { commit, openProducer, reserve } from '../../../src/shm/ring.ts';
import { seeded } from '../../golden/seeded.ts';

/** Writes `records` records of random length, each with its number and bytes that follow from it; commits by batch. */
const { memory, records, seed, done } = workerData as {
  memory: SharedArrayBuffer;
  records: number;
  seed: number;
  done: Int32Array;
};
const ring = openProducer(memory);
const random = seeded(seed);
for (let number = 0; number < records; ) {
  const batch = 1 + random.below(64);
  for (let i = 0; i < batch && number < records; i++, number++) {
    const length = 4 + random.below(300);
    const at = reserve(ring, number & 7, length);
    if (at === -1) continue;
    ring.view.setInt32(at, number);
    ring.bytes.fill(number & 255, at + 4, at + length);
  }
  commit(ring);
  // Now and then the consumer gets time to drain, else nearly everything is dropped.
  if (random.below(4) === 0) Atomics.wait(done, 0, 0, 0.1);
}
Atomics.store(done, 0, 1);
