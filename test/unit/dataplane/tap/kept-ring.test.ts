import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  createKeptRing,
  isKept,
  keptDistance,
  keptEnd,
  keptOffset,
  keptRingBytes,
  keptSpan,
  nextKept,
  openKeptRing,
  publishKept,
} from '../../../../src/dataplane/tap/kept-ring.ts';
import { seedOfRun } from '../../../fixtures/random.ts';

const WORDS = 4;

function ringOf(capacity: number) {
  const memory = new SharedArrayBuffer(keptRingBytes(capacity, WORDS));
  createKeptRing(memory, 0, capacity);
  return { memory, producer: openKeptRing(memory, 0, WORDS), reader: openKeptRing(memory, 0, WORDS) };
}

/** Writes the records `from`..`to - 1`, each with its number. */
function write(ring: ReturnType<typeof openKeptRing>, from: number, to: number): void {
  for (let number = from; number < to; number++) ring.words[nextKept(ring)] = number;
  publishKept(ring);
}

function read(ring: ReturnType<typeof openKeptRing>): number[] {
  const found: number[] = [];
  const { start, end } = keptSpan(ring);
  for (let position = start; position !== end; position = (position + 1) % ring.modulus)
    found.push(ring.view.getInt32(keptOffset(ring, position), true));
  return found;
}

t.test('a ring that is not full shows all records, and a full one the last ones', async t => {
  const { producer, reader } = ringOf(64);
  t.same(read(reader), [], 'empty');
  write(producer, 0, 5);
  t.same(read(reader), [0, 1, 2, 3, 4]);
  write(producer, 5, 300);
  const shown = read(reader);
  t.equal(shown.at(-1), 299);
  t.same(
    shown,
    Array.from({ length: shown.length }, (_, i) => 300 - shown.length + i),
    'without a gap across the end of the memory',
  );
  t.equal(shown.length, 64 - 2 * reader.chunk, 'less those that the producer may be writing');
});

t.test('a record is not kept any more once the producer may have reached it', async t => {
  const { producer, reader } = ringOf(64);
  write(producer, 0, 40);
  const { start: position } = keptSpan(reader);
  t.ok(isKept(reader, position));
  write(producer, 40, 64 + 2 * reader.chunk);
  t.notOk(isKept(reader, position));
});

t.test(
  'records that were not published are not seen, and a producer that restarts overwrites them',
  async t => {
    const { memory, producer, reader } = ringOf(64);
    write(producer, 0, 3);
    producer.words[nextKept(producer)] = 99;
    t.same(read(reader), [0, 1, 2]);
    const next = openKeptRing(memory, 0, WORDS);
    write(next, 3, 5);
    t.same(read(reader), [0, 1, 2, 3, 4]);
  },
);

t.test('positions that pass their largest value keep their order', async t => {
  const { producer, reader } = ringOf(64);
  producer.head = producer.modulus - 3;
  producer.at = ((producer.head % 64) * WORDS) % producer.words.length;
  write(producer, 0, 10);
  t.equal(keptEnd(reader), 7);
  t.same(read(reader), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.equal(keptDistance(reader, reader.modulus - 3, 7), 10);
});

const seed = seedOfRun();
t.comment(`seed ${seed}`);

t.test('while another thread writes, no record that is kept is torn', async t => {
  const words = 40;
  const capacity = 4096;
  const memory = new SharedArrayBuffer(keptRingBytes(capacity, words));
  createKeptRing(memory, 0, capacity);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./fixtures/kept-producer.js', import.meta.url), {
    workerData: { memory, words, seed, stop },
  });
  const ended = new Promise(resolve => worker.once('exit', resolve));
  const reader = openKeptRing(memory, 0, words);
  const copy = new Int32Array(words);
  const idle = new Int32Array(new SharedArrayBuffer(4));
  let [kept, overwritten, torn, disorder] = [0, 0, 0, 0];
  for (let round = 0; round < 400 || kept === 0; round++) {
    const { start, end } = keptSpan(reader);
    let last: number | undefined;
    for (let position = start; position !== end; position = (position + 1) % reader.modulus) {
      const at = (keptOffset(reader, position) / 4) | 0;
      copy.set(reader.words.subarray(at, at + words));
      if (!isKept(reader, position)) {
        overwritten++;
        last = undefined;
        continue;
      }
      kept++;
      const number = copy[0] ?? 0;
      if (copy.some(word => word !== number)) torn++;
      if (last !== undefined && number !== last + 1) disorder++;
      last = number;
    }
    Atomics.wait(idle, 0, 0, 0.2);
  }
  Atomics.store(stop, 0, 1);
  await ended;
  t.comment(`${kept} records read, ${overwritten} overwritten while they were read`);
  t.ok(kept > 0);
  t.equal(torn, 0);
  t.equal(disorder, 0);
});

t.test('a span from a position: whole, or from the oldest record that is left', async t => {
  const { producer, reader } = ringOf(64);
  write(producer, 0, 10);
  t.same(keptSpan(reader, 4), { start: 4, end: 10 });
  t.same(keptSpan(reader, 10), { start: 10, end: 10 });
  write(producer, 10, 100);
  t.same(keptSpan(reader, 4), keptSpan(reader));
});
