import t from 'tap';
import { DEFAULT_RATE_LIMIT, RateLimiter } from '../../../../src/dataplane/slow-path/rate-limit.ts';
import { seeded } from '../../../fixtures/random.ts';

/** Names as the numbers that the limiter goes by. */
const numbers = new Map<string, number>();
function key(name: string): number {
  if (!numbers.has(name)) numbers.set(name, numbers.size);
  return numbers.get(name)!;
}
const allow = (limiter: RateLimiter, source: string, destination: string, nowMs: number) =>
  limiter.allow(key(source), key(`${source} ${destination}`), nowMs);

const WIDE = { perSecond: 1e9, burst: 1e9 };

t.test('one pair: a burst, then one a second', async t => {
  const limiter = new RateLimiter({
    node: WIDE,
    source: WIDE,
    pair: { perSecond: 1, burst: 6 },
    entries: 100,
  });
  let allowed = 0;
  for (let ms = 0; ms < 10_000; ms += 10) if (allow(limiter, 'a', 'b', ms)) allowed++;
  t.equal(allowed, 6 + 9);
});

t.test('one source that scans has its own limit and leaves the node’s tokens to others', async t => {
  const limiter = new RateLimiter();
  const { source, node } = DEFAULT_RATE_LIMIT;
  let scanner = 0;
  let others = 0;
  for (let ms = 0; ms < 5000; ms++) {
    for (let i = 0; i < 4; i++)
      if (allow(limiter, '10.244.1.66', `10.9.${ms >> 8}.${ms & 255}.${i}`, ms)) scanner++;
    if (ms % 1000 === 0 && allow(limiter, '10.244.1.2', '10.244.2.3', ms)) others++;
  }
  t.ok(scanner <= source.burst + source.perSecond * 5, `${scanner} answers to the scanner`);
  t.ok(scanner >= source.perSecond * 5, `${scanner} answers to the scanner`);
  t.equal(others, 5, 'the other pod got every answer');
  t.ok(node.perSecond > source.perSecond);
});

t.test('many sources together meet the node’s limit, and memory stays bounded', async t => {
  const random = seeded(t, 0x5eed0010);
  const limiter = new RateLimiter({ ...DEFAULT_RATE_LIMIT, entries: 64 });
  let allowed = 0;
  let most = 0;
  for (let ms = 0; ms < 3000; ms++) {
    for (let i = 0; i < 10; i++)
      if (allow(limiter, `s${random.uint32()}`, `d${random.uint32()}`, ms)) allowed++;
    most = Math.max(most, limiter.size);
  }
  const { perSecond, burst } = DEFAULT_RATE_LIMIT.node;
  t.ok(allowed <= burst + perSecond * 3, `${allowed} allowed`);
  t.ok(allowed >= perSecond * 2.9, `${allowed} allowed`);
  t.equal(most, 128, '64 sources and 64 pairs');
});

t.test('the pair not seen for longest is forgotten first', async t => {
  const pair = { perSecond: 0, burst: 1 };
  const limiter = new RateLimiter({ node: WIDE, source: WIDE, pair, entries: 2 });
  t.ok(allow(limiter, 'a', 'x', 0));
  t.ok(allow(limiter, 'a', 'y', 0));
  t.notOk(allow(limiter, 'a', 'x', 1), 'remembered, and the younger of the two now');
  t.ok(allow(limiter, 'a', 'z', 2), 'takes the place of y');
  t.notOk(allow(limiter, 'a', 'x', 3), 'still remembered');
  t.ok(allow(limiter, 'a', 'y', 4), 'forgotten');
});

t.test('a clock that stands still or goes back mints nothing and stalls nothing', async t => {
  const pair = { perSecond: 1, burst: 1 };
  const limiter = new RateLimiter({ node: WIDE, source: WIDE, pair, entries: 8 });
  t.ok(allow(limiter, 'a', 'b', 5000));
  t.notOk(allow(limiter, 'a', 'b', 5000));
  t.notOk(allow(limiter, 'a', 'b', 1000));
  t.notOk(allow(limiter, 'a', 'b', 5000), 'the way back is not paid for');
  t.ok(allow(limiter, 'a', 'b', 6000));
});

t.test('a refusal takes no token from the limits that would have allowed', async t => {
  const limiter = new RateLimiter({
    node: { perSecond: 0, burst: 2 },
    source: WIDE,
    pair: { perSecond: 0, burst: 1 },
    entries: 8,
  });
  t.ok(allow(limiter, 'a', 'b', 0));
  for (let i = 0; i < 5; i++) t.notOk(allow(limiter, 'a', 'b', 0), 'the pair is empty');
  t.ok(allow(limiter, 'a', 'c', 0), 'the node still has its second token');
  t.notOk(allow(limiter, 'a', 'd', 0));
});
