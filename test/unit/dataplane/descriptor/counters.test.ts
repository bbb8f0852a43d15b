import t from 'tap';
import {
  addStat,
  BATCH_MAX,
  BATCHES,
  COALESCED,
  countEgress,
  countIngress,
  countVerdict,
  createCounters,
  maxStat,
  openCounters,
  resetPeer,
} from '../../../../src/dataplane/descriptor/counters.ts';
import { peerCount, readStats, verdictCount } from '../../../../src/dataplane/descriptor/read-counters.ts';
import { WRITE_FAILED } from '../../../../src/dataplane/descriptor/verdicts.ts';

t.test('blocks of all workers are summed', async t => {
  const counters = openCounters(createCounters(3, 10));
  const [first, second] = counters.blocks as [Float64Array, Float64Array];
  countVerdict(first, 1, 44, 60_000);
  countVerdict(second, 1, 1, 100);
  countVerdict(second, WRITE_FAILED, 2, 3);
  countEgress(first, 9, 44, 60_000);
  countIngress(second, 9, 5, 500);
  countIngress(first, 0, 1, 10);
  t.same(verdictCount(counters, 1), { frames: 45, bytes: 60_100 });
  t.same(verdictCount(counters, WRITE_FAILED), { frames: 2, bytes: 3 });
  t.same(verdictCount(counters, 2), { frames: 0, bytes: 0 });
  t.same(peerCount(counters, 9), {
    egress: { frames: 44, bytes: 60_000 },
    ingress: { frames: 5, bytes: 500 },
  });
  t.same(peerCount(counters, 0), { egress: { frames: 0, bytes: 0 }, ingress: { frames: 1, bytes: 10 } });
});

t.test('gauges add, the largest batch does not', async t => {
  const counters = openCounters(createCounters(2, 1));
  const [first, second] = counters.blocks as [Float64Array, Float64Array];
  addStat(first, BATCHES, 2);
  addStat(second, BATCHES, 3);
  addStat(second, COALESCED, 7);
  maxStat(first, BATCH_MAX, 64);
  maxStat(first, BATCH_MAX, 3);
  maxStat(second, BATCH_MAX, 10);
  t.match(readStats(counters, [0, 1]), { batches: 5, batchMax: 64, coalesced: 7, wakeups: 0 });
  t.match(readStats(counters, [1]), { batches: 3, batchMax: 10, coalesced: 7 });
});

t.test('one peer is reset, no other number moves', async t => {
  const counters = openCounters(createCounters(2, 3));
  for (const block of counters.blocks)
    for (let peer = 0; peer < 3; peer++) {
      countEgress(block, peer, 1, 10);
      countIngress(block, peer, 2, 20);
    }
  resetPeer(counters, 1);
  const zero = { frames: 0, bytes: 0 };
  const rest = { egress: { frames: 2, bytes: 20 }, ingress: { frames: 4, bytes: 40 } };
  t.same(
    [0, 1, 2].map(peer => peerCount(counters, peer)),
    [rest, { egress: zero, ingress: zero }, rest],
  );
});

t.test('numbers are exact where int32 is not', async t => {
  const counters = openCounters(createCounters(1, 1));
  countVerdict(counters.blocks[0]!, 0, 2 ** 52, 1);
  countVerdict(counters.blocks[0]!, 0, 1, 1);
  t.equal(verdictCount(counters, 0).frames, 2 ** 52 + 1);
});

t.test('no two workers share a pair of cache lines', async t => {
  const counters = openCounters(createCounters(4, 5));
  for (const block of counters.blocks) t.equal(block.byteOffset % 128, 0);
});
