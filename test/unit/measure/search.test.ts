import t from 'tap';
import { passes, searchBurst, searchThroughput, type Trial } from '../../../src/measure/bench/search.ts';
import { tcpLimit } from '../../../src/measure/bench/tcp.ts';
import { seeded } from '../../fixtures/random.ts';

/** A bottleneck with a queue before it, and a sender with a limit. */
interface Link {
  readonly rate: number;
  readonly queue: number;
  readonly senderMax: number;
  readonly randomLoss?: number;
}

function trialOver({ rate, queue, senderMax, randomLoss = 0 }: Link, asked: number, seconds: number): Trial {
  const offered = Math.min(asked, senderMax);
  const sent = offered * seconds;
  const surplus = Math.max(0, (offered - rate) * seconds);
  const lost = Math.max(0, surplus - queue) + (sent - surplus) * randomLoss;
  return { offered, arrived: Math.min(offered, rate) * (1 - randomLoss), loss: lost / sent };
}

t.test(
  'the search finds the rate of a bottleneck within 2 %, whatever the queue before it takes',
  async t => {
    const random = seeded(t);
    for (let round = 0; round < 300; round++) {
      const rate = 10 ** (1 + random.below(600) / 100);
      const senderMax = rate * (1.05 + random.below(10_000) / 100);
      const link = { rate, queue: rate * (random.below(100) / 200), senderMax };
      let trials = 0;
      const run = async (asked: number) => {
        trials++;
        return trialOver(link, asked, 1);
      };
      const options = { lossLimit: 0.001, precision: 0.01 };
      const { best } = await searchThroughput(await run(Number.POSITIVE_INFINITY), run, options);
      t.ok(best && Math.abs(best.arrived / rate - 1) < 0.02, `${best?.arrived} of ${rate}`);
      t.ok(trials <= 12, `${trials} trials`);
    }
  },
);

t.test(
  'a sender that is slower than the path is the result, and a path that loses at any rate has none',
  async t => {
    const options = { lossLimit: 0.001, precision: 0.01 };
    const run = (link: Link) => async (asked: number) => trialOver(link, asked, 1);
    const fast = run({ rate: 1e6, queue: 0, senderMax: 5e5 });
    const { best, trials } = await searchThroughput(await fast(Number.POSITIVE_INFINITY), fast, options);
    t.same([best?.offered, trials.length], [5e5, 1]);
    const lossy = run({ rate: 1e6, queue: 0, senderMax: 5e6, randomLoss: 0.01 });
    const none = await searchThroughput(await lossy(Number.POSITIVE_INFINITY), lossy, options);
    t.equal(none.best, undefined);
    t.ok(none.trials.length <= 24, 'and ends');
    const tolerant = { ...options, lossLimit: 0.02 };
    const some = await searchThroughput(await lossy(Number.POSITIVE_INFINITY), lossy, tolerant);
    t.ok(some.best && Math.abs(some.best.arrived / 0.99e6 - 1) < 0.02);
  },
);

t.test('a trial whose packets arrive late passes no more than one that loses them', async t => {
  const options = { lossLimit: 0, precision: 0.01 };
  t.ok(passes({ offered: 1000, arrived: 996, loss: 0 }, options));
  t.notOk(passes({ offered: 1000, arrived: 980, loss: 0 }, options));
  t.notOk(passes({ offered: 1000, arrived: 1000, loss: 0.0001 }, options));
});

t.test('the longest burst is found to within 1/32', async t => {
  for (const limit of [0, 1, 2, 3, 5, 64, 100, 1000, 4095, 4096]) {
    const found = await searchBurst(4096, async packets => packets <= limit);
    t.ok(found <= limit && limit - found <= Math.max(1, limit / 32), `${found} of ${limit}`);
  }
  t.equal(await searchBurst(100, async () => true), 100);
});

t.test('what TCP reaches is the path less its headers', async t => {
  t.equal(Math.round(tcpLimit(1e9, 1500, 4)), 965_333_333);
  t.equal(Math.round(tcpLimit(1e9, 1500, 6)), 952_000_000);
  t.equal(tcpLimit(1e9, 46, 6), 0);
});
