import t from 'tap';
import { PathMtus } from '../../../../src/dataplane/slow-path/path-mtu.ts';
import { seeded } from '../../../fixtures/random.ts';

const RETRY = 600_000;
const PEER = 3;

t.test('a path starts at what the interface takes and has nothing to ask', async t => {
  const paths = new PathMtus();
  paths.set(PEER, 4, 1500);
  t.equal(paths.get(PEER), 1500);
  paths.set(4, 6, 1500);
  t.equal(paths.get(4), 1500);
  t.strictSame(paths.due(1e12), []);
  t.equal(paths.lowered, 0);
  t.equal(paths.get(9), undefined);
});

t.test('lowered by a refusal, asked again after a while, raised when the kernel says so', async t => {
  const paths = new PathMtus();
  paths.set(PEER, 4, 1500);
  t.equal(paths.onPacketTooBig(PEER, 1500, 1400, 1000), 1400);
  t.equal(paths.lowered, 1);
  t.strictSame(paths.due(1000 + RETRY - 1), []);
  t.strictSame(paths.due(1000 + RETRY), [PEER]);
  t.equal(paths.onRouteMtu(PEER, 1400, 1000 + RETRY), undefined, 'still 1400');
  t.strictSame(paths.due(1000 + 2 * RETRY - 1), [], 'asked later again');
  t.equal(paths.onRouteMtu(PEER, 1450, 1000 + 2 * RETRY), 1450);
  t.equal(paths.onRouteMtu(PEER, 9000, 1000 + 3 * RETRY), 1500);
  t.strictSame(paths.due(1e12), [], 'open: nothing to ask');
  t.equal(paths.lowered, 0);
});

t.test('refusals that were still in the batch change nothing', async t => {
  const paths = new PathMtus();
  paths.set(PEER, 4, 1500);
  paths.onPacketTooBig(PEER, 1500, 1400, 0);
  t.equal(paths.onPacketTooBig(PEER, 1500, 1400, 1), undefined);
  t.equal(paths.onPacketTooBig(PEER, 1401, 1400, 2), undefined);
  t.equal(paths.onPacketTooBig(PEER, 1400, 1300, 3), 1300, 'lower still');
  t.equal(paths.onPacketTooBig(7, 1500, 1400, 4), undefined, 'a peer that went away');
});

t.test('a refusal that the kernel does not explain goes down to the next usual size', async t => {
  const paths = new PathMtus();
  paths.set(PEER, 4, 9000);
  t.equal(paths.onPacketTooBig(PEER, 9000, 0, 0), 8166);
  t.equal(paths.onPacketTooBig(PEER, 8166, -101, 0), 4352);
  t.equal(paths.onPacketTooBig(PEER, 1500, 1500, 0), 1492, 'smaller than known, and refused all the same');
  t.equal(paths.onPacketTooBig(PEER, 1492, 1500, 0), 1006);
  t.equal(paths.onPacketTooBig(PEER, 1006, 1500, 0), 552, 'the floor');
  t.equal(paths.onPacketTooBig(PEER, 552, 0, 0), undefined, 'never below it');
  t.strictSame(paths.due(RETRY), [PEER]);
});

t.test('forged sizes stop at the floor of the family', async t => {
  const paths = new PathMtus();
  paths.set(4, 4, 1500);
  paths.set(6, 6, 1500);
  t.equal(paths.onPacketTooBig(4, 1500, 68, 0), 552);
  t.equal(paths.onPacketTooBig(6, 1500, 68, 0), 1280);
});

t.test(
  'a changed interface MTU: what was learnt is kept while it is lower, forgotten when the peer moved',
  async t => {
    const paths = new PathMtus();
    paths.set(PEER, 4, 1500);
    paths.onPacketTooBig(PEER, 1500, 1400, 0);
    paths.set(PEER, 4, 9000);
    t.equal(paths.get(PEER), 1400);
    t.strictSame(paths.due(RETRY), [PEER]);
    paths.set(PEER, 4, 1300);
    t.equal(paths.get(PEER), 1300, 'the interface takes less than was learnt');
    t.strictSame(paths.due(1e12), []);
    paths.onPacketTooBig(PEER, 1300, 1200, 0);
    paths.set(PEER, 6, 1500);
    t.equal(paths.get(PEER), 1500, 'another family');
    paths.onPacketTooBig(PEER, 1500, 1400, 0);
    paths.set(PEER, 6, 1500, true);
    t.equal(paths.get(PEER), 1500, 'another address');
    paths.forget(PEER);
    t.equal(paths.get(PEER), undefined);
    t.equal(paths.onRouteMtu(PEER, 1400, 0), undefined);
  },
);

t.test(
  'whatever happens, a path stays between floor and ceiling and a lowered one is asked about',
  async t => {
    const random = seeded(t, 0x5eed0011);
    const paths = new PathMtus({ retryMs: 1000 });
    let ceiling = 1500;
    let now = 0;
    paths.set(PEER, 4, ceiling);
    for (let step = 0; step < 20_000; step++) {
      now += random.between(0, 400);
      const size = random.between(-200, 10_000);
      const action = random.between(0, 9);
      if (action === 0) {
        ceiling = random.between(552, 9000);
        paths.set(PEER, 4, ceiling);
      } else if (action < 5) paths.onPacketTooBig(PEER, random.between(28, 9000), size, now);
      else for (const peer of paths.due(now)) paths.onRouteMtu(peer, size, now);
      const pathMtu = paths.get(PEER)!;
      if (pathMtu > ceiling || pathMtu < 552) t.fail(`step ${step}: ${pathMtu}`);
      const asks = paths.due(now + 1000).length === 1;
      if (asks !== pathMtu < ceiling) t.fail(`step ${step}: ${pathMtu} of ${ceiling}, asked: ${asks}`);
    }
  },
);
