import t from 'tap';
import type { StoreObserver } from '../../../../src/agent/lease/store.ts';
import { FailingWrites } from '../../../../src/agent/store/failing-writes.ts';
import { Unreadable } from '../../../../src/agent/store/unreadable.ts';

t.test('malformed entries (H6): faults are cut, reported once, and limited in number', async t => {
  const told: string[] = [];
  const observer = {
    malformed: error => told.push(error.message),
  } as Partial<StoreObserver> as StoreObserver;
  const unreadable = new Unreadable();
  unreadable.note('a', new Error('x'.repeat(200_000)), observer);
  unreadable.note('a', new Error('x'.repeat(200_000)), observer);
  t.equal(told.length, 1);
  t.ok(told[0]!.length < 400);
  for (let n = 0; n < 5000; n++) unreadable.note(`k${n}`, new Error(`fault ${n}`), observer);
  t.equal(unreadable.size, 1000);
  t.equal(told.length, 1000);
  unreadable.note('a', new Error('another fault'), observer);
  t.equal(unreadable.get('a'), 'another fault', 'a known entry is followed');
});

t.test('writes that fail (A13): each fault is reported once, and the recovery', async t => {
  const told: string[] = [];
  const observer: Partial<StoreObserver> = {
    retrying: error => told.push(error.message),
    wrote: what => told.push(`wrote ${what}`),
  };
  const writes = new FailingWrites(() => observer as StoreObserver);
  writes.worked('lease');
  for (let n = 0; n < 3; n++) writes.failed('lease', new Error('permission denied'));
  writes.failed('lease', new Error('no space'));
  t.same([...writes], [['lease', 'no space']]);
  writes.worked('lease');
  t.same(told, [
    'cannot write the lease: permission denied',
    'cannot write the lease: no space',
    'wrote lease',
  ]);
  t.equal(writes.size, 0);
});
