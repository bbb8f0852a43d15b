import t from 'tap';
import { HeadEndReplication } from '../../../../src/dataplane/slow-path/head-end-replication.ts';
import { PEER_FAMILY, PEER_STRIDE } from '../../../../src/dataplane/tables/peer-table.ts';

/** A peer table with `records` records of which those in `used` are taken. */
function table(records: number, used: Iterable<number>): Int32Array {
  const peers = new Int32Array(records * PEER_STRIDE);
  for (const slot of used) peers[slot * PEER_STRIDE + PEER_FAMILY] = slot % 2 ? 4 : 6;
  return peers;
}

function plan(flood: HeadEndReplication, peers: Int32Array, nowMs: number, room = 64): number[] {
  const slots = new Int32Array(room);
  return [...slots.subarray(0, flood.plan(peers, slots, nowMs))];
}

t.test('every peer gets one copy, empty records none', async t => {
  const flood = new HeadEndReplication();
  t.strictSame(plan(flood, table(8, [1, 2, 5]), 0), [1, 2, 5]);
  t.strictSame(plan(flood, table(8, []), 1), []);
  t.strictSame(plan(flood, new Int32Array(0), 2), []);
});

t.test('with more peers than copies, frames take turns', async t => {
  const flood = new HeadEndReplication({ copiesPerFrame: 2, copiesPerSecond: 1000 });
  const peers = table(8, [0, 2, 3, 6, 7]);
  const plans = Array.from({ length: 5 }, () => plan(flood, peers, 0));
  t.strictSame(plans, [
    [0, 2],
    [3, 6],
    [7, 0],
    [2, 3],
    [6, 7],
  ]);
});

t.test('the caller’s room bounds the copies too, and a table that shrank does no harm', async t => {
  const flood = new HeadEndReplication();
  const many = table(
    10,
    Array.from({ length: 10 }, (_, i) => i),
  );
  t.strictSame(plan(flood, many, 0, 9), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  t.strictSame(plan(flood, table(2, [0, 1]), 0), [0, 1]);
});

t.test('copies a second are bounded', async t => {
  const flood = new HeadEndReplication({ copiesPerFrame: 100, copiesPerSecond: 50 });
  const peers = table(
    10,
    Array.from({ length: 10 }, (_, i) => i),
  );
  let copies = 0;
  for (let ms = 1; ms <= 10_000; ms++) copies += plan(flood, peers, ms).length;
  t.ok(copies >= 50 * 10 && copies <= 50 * 11, `${copies} copies in 10 s`);
  const before = plan(flood, peers, 20_000).length;
  t.equal(before, 10, 'a second later there are tokens again');
  plan(flood, peers, 20_000);
  t.ok(plan(flood, peers, 1).length <= 50, 'a clock that goes back mints nothing');
});
