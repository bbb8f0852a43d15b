import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  commit,
  createRing,
  droppedRecords,
  nextRecord,
  openConsumer,
  openProducer,
  recordKind,
  recordLength,
  release,
  reserve,
} from '../../../../src/dataplane/descriptor/ring.ts';
import { Random, seedOfRun } from '../../../fixtures/random.ts';

const seed = seedOfRun();
t.comment(`seed ${seed}`);

t.test('a record passes through its states', async t => {
  const memory = createRing(1024);
  const producer = openProducer(memory);
  const consumer = openConsumer(memory);
  t.equal(nextRecord(consumer), -1, 'empty');
  const at = reserve(producer, 5, 11);
  t.equal(at % 8, 0, 'contents are aligned for a float64');
  producer.bytes.set([1, 2, 3], at);
  t.equal(nextRecord(consumer), -1, 'reserved, not published');
  commit(producer);
  commit(producer);
  const taken = nextRecord(consumer);
  t.equal(taken, at);
  t.equal(recordLength(consumer, taken), 11);
  t.equal(recordKind(consumer, taken), 5);
  t.same([...consumer.bytes.subarray(taken, taken + 3)], [1, 2, 3]);
  t.equal(nextRecord(consumer), -1);
});

t.test('a full ring drops and counts; room comes back with release, not before', async t => {
  const memory = createRing(1024);
  const producer = openProducer(memory);
  const consumer = openConsumer(memory);
  let kept = 0;
  for (let i = 0; i < 20; i++) if (reserve(producer, i, 120) !== -1) kept++;
  commit(producer);
  t.equal(kept, 8, '128 bytes each with header');
  t.equal(droppedRecords(consumer), 12);
  for (let i = 0; i < 8; i++) t.equal(recordKind(consumer, nextRecord(consumer)), i);
  t.equal(reserve(producer, 0, 1), -1, 'taken, not released');
  release(consumer);
  t.not(reserve(producer, 0, 1), -1);
});

t.test('a record is whole, and at most half the ring', async t => {
  const memory = createRing(1024);
  const producer = openProducer(memory);
  const consumer = openConsumer(memory);
  t.equal(reserve(producer, 0, 505), -1);
  for (let i = 0; i < 100; i++) {
    const at = reserve(producer, i, 504);
    t.ok(at >= 8 && at + 504 <= 1024, 'never across the end');
    commit(producer);
    t.equal(nextRecord(consumer), at);
    release(consumer);
  }
  t.equal(droppedRecords(producer), 1);
});

t.test('ring, one side restarts: continues at a position that the other side can follow', async t => {
  const memory = createRing(1024);
  const crashed = openProducer(memory);
  reserve(crashed, 1, 8);
  commit(crashed);
  reserve(crashed, 2, 8);
  const producer = openProducer(memory);
  reserve(producer, 3, 8);
  commit(producer);
  const first = openConsumer(memory);
  t.equal(recordKind(first, nextRecord(first)), 1);
  const consumer = openConsumer(memory);
  t.equal(recordKind(consumer, nextRecord(consumer)), 1, 'not released, so it comes again');
  t.equal(recordKind(consumer, nextRecord(consumer)), 3, 'never published, so it is gone');
});

t.test('positions wrap past 2^31', async t => {
  const memory = createRing(1024);
  const control = new Int32Array(memory);
  control[0] = control[16] = 0x7fffff00;
  const producer = openProducer(memory);
  const consumer = openConsumer(memory);
  for (let i = 0; i < 20; i++) {
    t.not(reserve(producer, i, 100), -1);
    commit(producer);
    t.equal(recordKind(consumer, nextRecord(consumer)), i);
    release(consumer);
  }
});

t.test('sizes that cannot be are refused', async t => {
  for (const size of [0, 512, 1000, 3000, 2 ** 31]) t.throws(() => createRing(size), { code: 'ECONFIG' });
});

for (const { size, records } of [
  { size: 1 << 20, records: 200_000 },
  { size: 1024, records: 20_000 },
])
  t.test(
    `${records} records between threads over ${size} bytes: none changed, reordered or lost uncounted`,
    async t => {
      const memory = createRing(size);
      const done = new Int32Array(new SharedArrayBuffer(4));
      const worker = new Worker(new URL('./fixtures/ring-producer.js', import.meta.url), {
        workerData: { memory, records, seed, done },
      });
      await new Promise(resolve => worker.once('online', resolve));
      const random = new Random(seed);
      const ring = openConsumer(memory);
      const idle = new Int32Array(new SharedArrayBuffer(4));
      let seen = 0;
      let last = -1;
      let wrong = 0;
      for (;;) {
        const ended = Atomics.load(done, 0) === 1;
        const before = seen;
        const batch = 1 + random.below(128);
        for (let i = 0; i < batch; i++) {
          const at = nextRecord(ring);
          if (at === -1) break;
          const number = ring.view.getInt32(at);
          const length = recordLength(ring, at);
          if (number <= last || recordKind(ring, at) !== (number & 7)) wrong++;
          for (let byte = at + 4; byte < at + length; byte++)
            if (ring.bytes[byte] !== (number & 255)) wrong++;
          last = number;
          seen++;
        }
        release(ring);
        if (seen === before && ended) break;
        if (seen === before) Atomics.wait(idle, 0, 0, 1);
      }
      t.equal(wrong, 0, 'each record as it was written, numbers rising');
      t.equal(seen + droppedRecords(ring), records, `${seen} read, ${droppedRecords(ring)} dropped`);
      t.ok(seen > 0, 'the ring carried something');
      await worker.terminate();
    },
  );
