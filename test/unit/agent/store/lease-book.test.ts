import t from 'tap';
import type { Lease } from '../../../../src/agent/lease/lease.ts';
import type { KeptLeases, StoreObserver } from '../../../../src/agent/lease/store.ts';
import { LeaseBook } from '../../../../src/agent/store/lease-book.ts';
import { parsePrefix } from '../../../../src/ip/prefix.ts';
import { leaseAttributes } from '../../../fixtures/agents/lease-store.ts';
import { stays } from '../../../fixtures/agents/stays.ts';

const lease = (key: string, more: Partial<Lease> = {}): Lease => ({
  key,
  v4: parsePrefix('10.7.1.0/24'),
  v6: undefined,
  attributes: leaseAttributes('192.0.2.1'),
  expiresAt: 0,
  node: undefined,
  ...more,
});

/** A book, and what it told: the keys that changed and how many leases there were. */
function book(gatherMs = 50) {
  const told: { changed: string[] | undefined; size: number }[] = [];
  let heard = () => {};
  const leases: StoreObserver['leases'] = (all, changed) => {
    told.push({ changed: changed && [...changed].sort(), size: all.size });
    heard();
  };
  const made = new LeaseBook({ leases }, undefined, { gatherMs });
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
  t.equal(told.length, 1, 'the same again is not reported');
});

t.test('changes that come together are told together, by key', async t => {
  const { made, told, next } = book();
  made.replace([lease('a'), lease('b')]);
  made.flush();
  for (let n = 0; n < 1000; n++) made.put(lease(`n${n}`));
  made.delete('a');
  made.delete('absent');
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

t.test('renewal: not reported; another address, subnet or holder: reported', async t => {
  const { made, told } = book();
  made.replace([lease('a')]);
  made.flush();
  made.put(lease('a', { expiresAt: 99 }));
  made.flush();
  t.equal(told.length, 1);
  t.equal(made.leases.get('a')!.expiresAt, 99, 'the time is kept all the same');
  const others = [
    { attributes: leaseAttributes('192.0.2.2') },
    { attributes: leaseAttributes('192.0.2.2'), v4: parsePrefix('10.7.2.0/24') },
    { attributes: leaseAttributes('192.0.2.2'), v4: parsePrefix('10.7.2.0/24'), node: 'x' },
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

/** A book of a cluster of three nodes; `own` is this node's lease. */
function cluster(keepMs?: number) {
  const kept: string[][] = [];
  let heard = () => {};
  const observer = {
    leases: () => heard(),
    kept: (state: KeptLeases | undefined) => kept.push([...(state?.keys ?? [])].sort()),
  };
  const made = new LeaseBook(observer, undefined, {
    gatherMs: 0,
    ...(keepMs === undefined ? {} : { keepMs }),
  });
  made.own = 'own';
  const of = (n: number) =>
    lease(`n${n}`, {
      v4: parsePrefix(`10.7.${n}.0/24`),
      attributes: leaseAttributes(`192.0.2.${n}`),
      node: `n${n}`,
    });
  const own = lease('own', { v4: parsePrefix('10.7.99.0/24'), attributes: leaseAttributes('192.0.2.99') });
  made.replace([own, of(1), of(2), of(3)]);
  made.flush();
  const next = () =>
    new Promise<void>(resolve => {
      heard = resolve;
    });
  const keys = () => [...made.leases.keys()].sort();
  return { made, kept, own, of, keys, next };
}

t.test('a list without any other node (J8): the leases are kept, and end one by one', async t => {
  const { made, kept, own, of, keys } = cluster();
  made.replace([own]);
  made.flush();
  t.same(keys(), ['n1', 'n2', 'n3', 'own']);
  t.same(kept, [['n1', 'n2', 'n3']]);
  t.equal(made.leases.get('n1')!.node, undefined, 'the liveness of its node is unknown');
  made.replace([own]);
  made.flush();
  t.equal(kept.length, 1, 'the same list again is not reported');
  made.put(of(1));
  made.flush();
  t.same(kept.at(-1), ['n2', 'n3'], 'one has returned');
  made.put({ ...of(2), key: 'other' });
  made.flush();
  t.same(keys(), ['n1', 'n3', 'other', 'own'], 'a new lease has the subnet of a kept one');
  made.put({ ...of(3), key: 'moved', v4: parsePrefix('10.7.33.0/24') });
  made.flush();
  t.same(keys(), ['moved', 'n1', 'other', 'own'], 'a new lease has the address of a kept one');
  t.same(kept.at(-1), []);
  made.close();
});

t.test('kept leases are given up after their time', async t => {
  const { made, kept, own, keys, next } = cluster(30);
  made.replace([own]);
  made.flush();
  t.equal(keys().length, 4);
  await next();
  t.same(keys(), ['own']);
  t.same(kept.at(-1), []);
  made.close();
});

t.test('store that was not emptied: leases are removed, except where another cluster answers', async t => {
  const { made, kept, own, of, keys } = cluster();
  made.replace([own, of(1)]);
  made.flush();
  t.same(keys(), ['n1', 'own'], 'one is left: the others left the cluster');
  made.delete('n1');
  made.flush();
  t.same(keys(), ['own'], 'the last one was deleted by an event');
  made.put(of(2));
  made.replace([own], false);
  made.flush();
  t.same(keys(), ['own'], 'the store can tell');
  t.same(kept, []);
  made.replace([own, of(1), of(2)]);
  made.replace([own, of(1)], 'another cluster');
  made.flush();
  t.same(keys(), ['n1', 'n2', 'own'], 'and tells that it is another one, though not empty');
  t.same(kept, [['n2']]);
  made.close();
});

t.test('a restart while leases are kept', async t => {
  const { made, kept, own, of } = cluster();
  made.replace([own]);
  made.flush();
  const again = new LeaseBook(
    { leases: () => {}, kept: state => kept.push([...(state?.keys ?? [])].sort()) },
    { own: 'own', leases: made.leases, kept: { keys: kept.at(-1)!, until: Date.now() + 60_000, why: 'x' } },
  );
  again.replace([own, of(1)]);
  again.flush();
  t.same([...again.leases.keys()].sort(), ['n1', 'n2', 'n3', 'own']);
  t.same(kept.at(-1), ['n2', 'n3']);
  const fresh = new LeaseBook({ leases: () => {} }, { own: 'own', leases: again.leases });
  fresh.replace([own]);
  t.equal(fresh.leases.size, 4, 'the store was emptied while no agent ran');
  for (const book of [made, again, fresh]) book.close();
});

t.test('another end of a lease (J13): reported', async t => {
  const { made, told } = book();
  made.replace([lease('own', { term: '1' })], false);
  made.flush();
  made.put(lease('own', { term: '1' }));
  made.flush();
  t.equal(told.length, 1);
  made.put(lease('own', { term: '2' }));
  made.flush();
  t.same(told.at(-1)?.changed, ['own']);
  made.close();
});
