import t from 'tap';
import { createLog } from '../../../src/base/log.ts';
import { PathChecks, type PathProbe } from '../../../src/dataplane/path-checks.ts';
import { PathMtus } from '../../../src/dataplane/slow-path/path-mtu.ts';

const SLOT = 3;
const FULL = 1500;

/** A path of 1500 bytes to one peer. `known` is what the kernel says, `configured` what the route has. */
function pathTo(probe?: Partial<PathProbe>) {
  const paths = new PathMtus();
  paths.set(SLOT, 4, FULL);
  const state = {
    known: FULL,
    configured: FULL as number | undefined,
    peer: { id: 'two', address: '192.0.2.2' },
    asked: [] as number[][],
    changes: 0,
    ignored: 0,
  };
  const checks = new PathChecks({
    paths,
    log: createLog('silent'),
    probe: probe && {
      configuredMtu: () => state.configured,
      largestAnswered: async (_, claimed, present) => {
        state.asked.push([claimed, present]);
        return claimed;
      },
      ...probe,
    },
    knownMtu: () => state.known,
    slots: () => [SLOT],
    peerIn: () => state.peer,
    changed: () => state.changes++,
    ignoreIcmp: () => state.ignored++,
  });
  return { paths, checks, state };
}
/** Lets promises of a probe be fulfilled. */
const settled = () => new Promise(resolve => setImmediate(resolve));

t.test('a refusal that the route explains lowers the path at once, without a probe', async t => {
  const { paths, checks, state } = pathTo({});
  state.known = state.configured = 1400;
  checks.onRefusal(SLOT, FULL);
  t.equal(paths.get(SLOT), 1400);
  t.strictSame(state.asked, []);
});

t.test('a refusal that only ICMP explains waits for the probe, which is asked once', async t => {
  const { paths, checks, state } = pathTo({});
  state.known = 1300;
  checks.onRefusal(SLOT, FULL);
  checks.onRefusal(SLOT, FULL);
  t.equal(paths.get(SLOT), FULL, 'pods are told nothing yet');
  await settled();
  t.strictSame(state.asked, [[1300, FULL]]);
  t.equal(paths.get(SLOT), 1300, 'no larger packet was answered');
  t.equal(state.ignored, 0);
});

t.test('a larger packet that is answered refutes ICMP; from then on claims are probed', async t => {
  let answered = FULL;
  const { paths, checks, state } = pathTo({ largestAnswered: async () => answered });
  state.known = 600;
  checks.onRefusal(SLOT, FULL);
  await settled();
  t.equal(paths.get(SLOT), FULL);
  t.equal(state.ignored, 1);

  checks.check();
  await settled();
  t.equal(paths.get(SLOT), FULL, 'the same claim again');
  answered = 1400;
  checks.check();
  await settled();
  t.equal(paths.get(SLOT), 1400, 'the path became smaller, though not as small as claimed');
  state.configured = 1350;
  checks.check();
  t.equal(paths.get(SLOT), 1350, 'the route became smaller');
  t.equal(state.ignored, 1);
});

t.test('without a probe, or when it fails, ICMP is believed', async t => {
  const without = pathTo();
  without.state.known = 1300;
  without.checks.onRefusal(SLOT, FULL);
  t.equal(without.paths.get(SLOT), 1300);

  const failing = pathTo({ largestAnswered: () => Promise.reject(new Error('no raw socket')) });
  failing.state.known = 1300;
  failing.checks.onRefusal(SLOT, FULL);
  await settled();
  t.equal(failing.paths.get(SLOT), 1300);
  t.equal(failing.state.ignored, 0);
});

t.test('an answer about a former address of the peer counts for nothing', async t => {
  const { paths, checks, state } = pathTo({});
  state.known = 1300;
  checks.onRefusal(SLOT, FULL);
  state.peer = { id: 'two', address: '192.0.2.99' };
  await settled();
  t.equal(paths.get(SLOT), FULL);
});

t.test('a lowered path that is due rises when the kernel says so; a smaller claim is probed', async t => {
  const { paths, checks, state } = pathTo({});
  paths.onPacketTooBig(SLOT, FULL, 1400, performance.now() - 700_000);
  state.known = 700;
  checks.check();
  t.equal(paths.get(SLOT), 1400);
  await settled();
  t.equal(paths.get(SLOT), 700, 'nothing larger was answered');

  const other = pathTo({});
  other.paths.onPacketTooBig(SLOT, FULL, 1400, performance.now() - 700_000);
  other.checks.check();
  t.equal(other.paths.get(SLOT), FULL);
  t.equal(other.state.changes, 1);
});
