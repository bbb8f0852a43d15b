import t from 'tap';
import { FORMATS } from '../../../../encap/formats.ts';
import { PathMtus } from '../../../../src/dataplane/slow-path/path-mtu.ts';
import { seeded } from '../../../support/random.ts';

const RETRY = 600_000;
const PEER = 3;
const vxlan = () => new PathMtus({ format: FORMATS.vxlan });

t.test('a path starts at what the interface takes and has nothing to ask', async t => {
  const paths = vxlan();
  t.strictSame(paths.set(PEER, 4, 1500), { peer: PEER, pathMtu: 1500, innerMtu: 1450 });
  t.strictSame(paths.set(4, 6, 1500), { peer: 4, pathMtu: 1500, innerMtu: 1430 });
  t.strictSame(paths.due(1e12), []);
  t.equal(paths.lowered, 0);
  t.equal(paths.get(9), undefined);
});

t.test('lowered by a refusal, asked again after a while, raised when the kernel says so', async t => {
  const paths = vxlan();
  paths.set(PEER, 4, 1500);
  t.strictSame(paths.onPacketTooBig(PEER, 1500, 1400, 1000), { peer: PEER, pathMtu: 1400, innerMtu: 1350 });
  t.equal(paths.lowered, 1);
  t.strictSame(paths.due(1000 + RETRY - 1), []);
  t.strictSame(paths.due(1000 + RETRY), [PEER]);
  t.equal(paths.onRouteMtu(PEER, 1400, 1000 + RETRY), undefined, 'still 1400');
  t.strictSame(paths.due(1000 + 2 * RETRY - 1), [], 'asked later again');
  t.strictSame(paths.onRouteMtu(PEER, 1450, 1000 + 2 * RETRY), { peer: PEER, pathMtu: 1450, innerMtu: 1400 });
  t.strictSame(paths.onRouteMtu(PEER, 9000, 1000 + 3 * RETRY), { peer: PEER, pathMtu: 1500, innerMtu: 1450 });
  t.strictSame(paths.due(1e12), [], 'open: nothing to ask');
  t.equal(paths.lowered, 0);
});

t.test('refusals that were still in the batch change nothing', async t => {
  const paths = vxlan();
  paths.set(PEER, 4, 1500);
  paths.onPacketTooBig(PEER, 1500, 1400, 0);
  t.equal(paths.onPacketTooBig(PEER, 1500, 1400, 1), undefined);
  t.equal(paths.onPacketTooBig(PEER, 1401, 1400, 2), undefined);
  t.strictSame(
    paths.onPacketTooBig(PEER, 1400, 1300, 3),
    { peer: PEER, pathMtu: 1300, innerMtu: 1250 },
    'lower still',
  );
  t.equal(paths.onPacketTooBig(7, 1500, 1400, 4), undefined, 'a peer that went away');
});

t.test('a refusal that the kernel does not explain goes down to the next usual size', async t => {
  const paths = vxlan();
  paths.set(PEER, 4, 9000);
  t.equal(paths.onPacketTooBig(PEER, 9000, 0, 0)?.pathMtu, 8166);
  t.equal(paths.onPacketTooBig(PEER, 8166, -101, 0)?.pathMtu, 4352);
  t.equal(
    paths.onPacketTooBig(PEER, 1500, 1500, 0)?.pathMtu,
    1492,
    'smaller than known, and refused all the same',
  );
  t.equal(paths.onPacketTooBig(PEER, 1492, 1500, 0)?.pathMtu, 1006);
  t.equal(paths.onPacketTooBig(PEER, 1006, 1500, 0)?.pathMtu, 552, 'the floor');
  t.equal(paths.onPacketTooBig(PEER, 552, 0, 0), undefined, 'never below it');
  t.strictSame(paths.due(RETRY), [PEER]);
});

t.test('forged sizes stop at the floor of the family', async t => {
  const paths = vxlan();
  paths.set(4, 4, 1500);
  paths.set(6, 6, 1500);
  t.strictSame(paths.onPacketTooBig(4, 1500, 68, 0), { peer: 4, pathMtu: 552, innerMtu: 502 });
  t.strictSame(paths.onPacketTooBig(6, 1500, 68, 0), { peer: 6, pathMtu: 1280, innerMtu: 1210 });
});

t.test(
  'a changed interface MTU: what was learnt is kept while it is lower, forgotten when the peer moved',
  async t => {
    const paths = vxlan();
    paths.set(PEER, 4, 1500);
    paths.onPacketTooBig(PEER, 1500, 1400, 0);
    t.equal(paths.set(PEER, 4, 9000).pathMtu, 1400);
    t.strictSame(paths.due(RETRY), [PEER]);
    t.equal(paths.set(PEER, 4, 1300).pathMtu, 1300, 'the interface takes less than was learnt');
    t.strictSame(paths.due(1e12), []);
    paths.onPacketTooBig(PEER, 1300, 1200, 0);
    t.equal(paths.set(PEER, 6, 1500).pathMtu, 1500, 'another family');
    paths.onPacketTooBig(PEER, 1500, 1400, 0);
    t.equal(paths.set(PEER, 6, 1500, true).pathMtu, 1500, 'another address');
    paths.forget(PEER);
    t.equal(paths.get(PEER), undefined);
    t.equal(paths.onRouteMtu(PEER, 1400, 0), undefined);
  },
);

t.test(
  'whatever happens, a path stays between floor and ceiling and a lowered one is asked about',
  async t => {
    const random = seeded(t, 0x5eed0011);
    const paths = new PathMtus({ format: FORMATS.udp, retryMs: 1000 });
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
      const { pathMtu, innerMtu } = paths.get(PEER)!;
      if (pathMtu > ceiling || pathMtu < 552 || innerMtu !== pathMtu - 28) t.fail(`step ${step}: ${pathMtu}`);
      const asks = paths.due(now + 1000).length === 1;
      if (asks !== pathMtu < ceiling) t.fail(`step ${step}: ${pathMtu} of ${ceiling}, asked: ${asks}`);
    }
  },
);
