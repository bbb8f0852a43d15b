import t from 'tap';
import { Allowance, Failures } from '../../../bench/e2e/allowance.ts';
import { MEASURES } from '../../../bench/e2e/measures.ts';
import { measuresOf, planned, roundSeconds } from '../../../bench/e2e/plan.ts';
import { boundSeconds, e2eSeconds, fitted } from '../../../bench/e2e/run.ts';
import { readOptions } from '../../../bench/options.ts';

t.test('conditions share the time evenly, and what one leaves over goes to the next ones', async t => {
  let nowMs = 5000;
  const all = new Allowance(30, () => nowMs);
  const first = all.share(3);
  t.ok(first.hasRoomFor(10));
  t.notOk(first.hasRoomFor(10.1));
  nowMs += 4000;
  t.ok(first.hasRoomFor(6));
  t.notOk(first.hasRoomFor(6.1));
  t.ok(all.share(2).hasRoomFor(13));
  t.notOk(all.share(2).hasRoomFor(13.1));
  nowMs += 40_000;
  t.notOk(all.share(1).hasRoomFor(0.1));
  t.ok(new Allowance(undefined).share(3).hasRoomFor(1e9), 'without a bound there is always room');
});

t.test('what failed twice in a condition is given up, for its contender alone', async t => {
  const failures = new Failures();
  failures.note('vde', 'tcp1');
  t.notOk(failures.isGivenUp('vde', 'tcp1'));
  failures.note('vde', 'tcp1');
  t.ok(failures.isGivenUp('vde', 'tcp1'));
  t.notOk(failures.isGivenUp('vde', 'rr'));
  t.notOk(failures.isGivenUp('fastd', 'tcp1'));
});

t.test('a run with a bound: shorter measurements, and never longer than it says', async t => {
  const three = ['e2e', '--conditions', 'nic,wirecs,def'];
  const free = readOptions(three);
  t.equal(free.minutes, undefined);
  t.equal(fitted(free).seconds, 2);
  t.ok(boundSeconds(free) > e2eSeconds(free));
  const bound = readOptions([...three, '--minutes', '25']);
  t.equal(fitted(bound).seconds, 1);
  t.ok(e2eSeconds(fitted(bound)) <= 25 * 60);
  t.equal(boundSeconds(bound), 25 * 60);
  const headline = readOptions(['e2e', '--headline']);
  t.match(headline, { rounds: 5, minutes: 25, conditions: ['nic', 'wirecs', 'def'] });
  t.ok(e2eSeconds({ ...headline, minutes: undefined }) < 25 * 60, 'five rounds fit');
  t.notOk(measuresOf('kernel', headline).includes('paced'), 'it leaves the choice to each measure');
  t.throws(() => readOptions(['--quick', '--headline']), { code: 'ECONFIG' });
  t.equal(fitted(readOptions([...three, '--minutes', '600'])).seconds, 2);
});

t.test(
  'rivals are measured in three figures, and figures that explain one contender in it alone',
  async t => {
    const options = readOptions([]);
    t.ok(planned(options).includes('wireguard-go') && planned(options).includes('nebula'));
    t.same(measuresOf('nebula', options), ['tcp1', 'udp64x1', 'rr']);
    t.ok(measuresOf('vxlan', options).includes('paced'));
    t.notOk(measuresOf('kernel', options).includes('paced'));
    t.ok(measuresOf('kernel', options).includes('tcp1node'));
    t.notOk(measuresOf('udp', options).includes('tcp1node'));
    t.same(measuresOf('udp', { ...options, measures: ['tcp1node'] }), ['tcp1node'], 'all on request');
    const kernel = { contenders: ['kernel'], brief: [], without: [], measures: Object.keys(MEASURES) as [] };
    t.ok(roundSeconds(kernel, 1) > Object.keys(MEASURES).length, 'at least a second for each measure');
  },
);
