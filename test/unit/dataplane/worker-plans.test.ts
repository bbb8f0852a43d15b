import t from 'tap';
import { ALL_OFFLOADS, type Offloads } from '../../../src/dataplane/io/offloads.ts';
import type { WorkerTaps } from '../../../src/dataplane/tap/registry.ts';
import { indicesOf, nameOf, workerDirections, workerIo } from '../../../src/dataplane/worker-plans.ts';

const memory = { taps: () => ({}) as WorkerTaps, proofs: () => new SharedArrayBuffer(8) };
const shapeOf = (queues: number, threads: 1 | 2) =>
  workerDirections(queues, threads, memory).map(directions =>
    directions.map(({ direction, index }) => `${direction} ${index}`),
  );

t.test('a direction has the same index in both forms', async t => {
  t.same(shapeOf(2, 1), [
    ['egress 0', 'ingress 1'],
    ['egress 2', 'ingress 3'],
  ]);
  t.same(shapeOf(2, 2), [['egress 0'], ['ingress 1'], ['egress 2'], ['ingress 3']]);
  t.same(indicesOf('egress', 3), [0, 2, 4]);
  t.same(indicesOf('ingress', 3), [1, 3, 5]);
  const names = (threads: 1 | 2) => workerDirections(2, threads, memory).map(nameOf);
  t.same(names(1), ['both-0', 'both-2']);
  t.same(names(2), ['egress-0', 'ingress-1', 'egress-2', 'ingress-3']);
});

t.test('ingress directions alone have a ring for proof messages', async t => {
  for (const threads of [1, 2] as const) {
    const directions = workerDirections(2, threads, memory).flat();
    t.same(
      directions.map(({ proofs }) => proofs?.byteLength),
      [undefined, 8, undefined, 8],
    );
    t.equal(new Set(directions.map(({ proofs }) => proofs)).size, 3, 'each its own');
  }
});

t.test('the workers of a queue have its descriptors', async t => {
  const offloads = Object.fromEntries(
    Object.keys(ALL_OFFLOADS).map(name => [name, 'on']),
  ) as unknown as Offloads;
  const descriptors = { queues: [10, 11], receivers: [20, 21], senders: [30] };
  const shape = (threads: 1 | 2) =>
    workerIo(descriptors, threads, offloads, false).map(({ tun, receiver }) => [tun, receiver]);
  t.same(shape(1), [
    [10, 20],
    [11, 21],
  ]);
  t.same(shape(2), [
    [10, 20],
    [10, 20],
    [11, 21],
    [11, 21],
  ]);
  t.match(workerIo(descriptors, 1, { ...offloads, udpGso: 'off by configuration' }, false)[0], {
    maxSegments: 1,
  });
  t.throws(
    () => workerIo({ ...descriptors, receivers: [20] }, 1, offloads, false),
    /queue 1 has no receiving socket/,
  );
});
