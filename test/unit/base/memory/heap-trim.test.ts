import t from 'tap';
import { containedErrors } from '../../../../src/base/boundary.ts';
import { HeapTrim } from '../../../../src/base/memory/heap-trim.ts';
import { until } from '../../../../src/lab/until.ts';
import { stays } from '../../../fixtures/agents/stays.ts';

t.test('few changed leases, no collection', async t => {
  let collections = 0;
  const trim = new HeapTrim(() => collections++, 1);
  for (let i = 0; i < 499; i++) trim.note(1);
  await stays(t, 'no collection', () => collections, 0);
  trim.note(1);
  await until('a collection', () => collections === 1);
  t.equal(collections, 1, 'with the five hundredth');
});

t.test('a burst of changed leases, one collection after it and none without another one', async t => {
  let collections = 0;
  const trim = new HeapTrim(() => collections++, 1);
  for (let i = 0; i < 40; i++) trim.note(50);
  await until('a collection', () => collections === 1);
  trim.note(499);
  await stays(t, 'one collection', () => collections, 1);
});

t.test('a collection that fails is counted and ends nothing', async t => {
  const trim = new HeapTrim(() => Promise.reject(new Error('no inspector')), 1);
  trim.note(500);
  await until('the error to be counted', () => containedErrors().get('heap') === 1);
  t.equal(containedErrors().get('heap'), 1);
});

t.test('the collection itself, what is not referenced any more is gone from the heap', async t => {
  const made = () => new WeakRef({ lease: 'gone' });
  const lease = made();
  new HeapTrim(undefined, 1).note(500);
  await until('the object to be collected', () => lease.deref() === undefined);
  t.equal(lease.deref(), undefined);
});

t.test('shared memory that is not used any more is collected, which V8 alone does not do', async t => {
  const made = () => new WeakRef(new SharedArrayBuffer(64 << 20));
  const memory = made();
  new HeapTrim(undefined, 1).released();
  await until('the memory to be released', () => memory.deref() === undefined);
  t.equal(memory.deref(), undefined);
});

t.test('resident memory that has grown is collected once, whatever the collection frees', async t => {
  let collections = 0;
  let resident = 100 << 20;
  const trim = new HeapTrim(
    () => collections++,
    1,
    () => resident,
  );
  trim.watch(1);
  t.teardown(() => trim.stop());
  await stays(t, 'no collection', () => collections, 0);
  resident += 31 << 20;
  await stays(t, 'no collection', () => collections, 0);
  resident += 1 << 20;
  await until('a collection', () => collections === 1);
  await stays(t, 'one collection', () => collections, 1);
  resident -= 60 << 20;
  await stays(t, 'one collection', () => collections, 1);
  resident += 40 << 20;
  await until('another one', () => collections === 2);
});
