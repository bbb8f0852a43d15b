import t from 'tap';
import { parseCidr } from '../../../src/agent/lease/cidr.ts';
import type { Lease } from '../../../src/agent/lease/lease.ts';
import { LeaseBook } from '../../../src/agent/store/lease-book.ts';
import { attributesOf } from '../../support/lease-store.ts';
import { stays } from '../../support/stays.ts';

const lease = (key: string, more: Partial<Lease> = {}): Lease => ({
  key,
  v4: parseCidr('10.7.1.0/24'),
  v6: undefined,
  attributes: attributesOf('192.0.2.1'),
  expiresAt: 0,
  node: undefined,
  ...more,
});

/** A book, and what it told: the keys that changed and how many leases there were. */
function book(gatherMs = 50) {
  const told: { changed: string[] | undefined; size: number }[] = [];
  let heard = () => {};
  const made = new LeaseBook((all, changed) => {
    told.push({ changed: changed && [...changed].sort(), size: all.size });
    heard();
  }, gatherMs);
  const next = () =>
    new Promise<void>(resolve => {
      heard = resolve;
    });
  return { made, told, next };
}

t.test('the first whole list is told at once, also an empty one', async t => {
  const { made, told } = book();
  made.replace([]);
  made.flush();
  t.same(told, [{ changed: undefined, size: 0 }]);
  made.replace([]);
  made.flush();
  t.equal(told.length, 1, 'the same again is no news');
});

t.test('changes that come together are told together, by key', async t => {
  const { made, told, next } = book();
  made.replace([lease('a'), lease('b')]);
  made.flush();
  for (let n = 0; n < 1000; n++) made.put(lease(`n${n}`));
  made.delete('a');
  made.delete('nobody');
  await next();
  t.equal(told.length, 2, 'one call for a thousand changes');
  t.equal(told[1]!.changed!.length, 1001);
  t.equal(told[1]!.size, 1001);
});

t.test('what came and went before it was told is named as well', async t => {
  const { made, told, next } = book();
  made.replace([]);
  made.flush();
  made.put(lease('a'));
  made.delete('a');
  await next();
  t.same(told[1], { changed: ['a'], size: 0 });
});

t.test('a renewal is no news; another address, subnet or holder is', async t => {
  const { made, told } = book();
  made.replace([lease('a')]);
  made.flush();
  made.put(lease('a', { expiresAt: 99 }));
  made.flush();
  t.equal(told.length, 1);
  t.equal(made.leases.get('a')!.expiresAt, 99, 'the time is kept all the same');
  const others = [
    { attributes: attributesOf('192.0.2.2') },
    { attributes: attributesOf('192.0.2.2'), v4: parseCidr('10.7.2.0/24') },
    { attributes: attributesOf('192.0.2.2'), v4: parseCidr('10.7.2.0/24'), node: 'x' },
  ];
  for (const [at, other] of others.entries()) {
    made.put(lease('a', other));
    made.flush();
    t.same(told[at + 1], { changed: ['a'], size: 1 });
  }
});

t.test('a new list after a break tells only what differs', async t => {
  const { made, told } = book();
  made.replace([lease('a'), lease('b'), lease('c')]);
  made.flush();
  made.replace([lease('b'), lease('c', { node: 'x' }), lease('d')]);
  made.flush();
  t.same(told[1], { changed: ['a', 'c', 'd'], size: 3 });
});

t.test('nothing is told before the first whole list, and nothing after the end', async t => {
  const { made, told } = book(1);
  made.put(lease('a'));
  await stays(t, 'nothing is told', () => told.length, 0, 100);
  made.replace([lease('a')]);
  made.flush();
  made.put(lease('b'));
  made.close();
  await stays(t, 'nothing more is told', () => told.length, 1, 100);
});
