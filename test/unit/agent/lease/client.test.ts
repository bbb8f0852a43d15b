import t from 'tap';
import { LeaseClient, RenewalClock } from '../../../../src/agent/lease/client.ts';
import type { Lease } from '../../../../src/agent/lease/lease.ts';
import type { LeaseStore } from '../../../../src/agent/lease/store.ts';
import { RipstopError } from '../../../../src/base/errors.ts';
import { createLog, type Log } from '../../../../src/base/log.ts';
import { parsePrefix } from '../../../../src/ip/prefix.ts';
import { until } from '../../../../src/lab/until.ts';
import { leaseAttributes, netConf } from '../../../fixtures/agents/lease-store.ts';

const HOUR = 3600_000;
const { config } = netConf();
const LEASE: Lease = {
  key: '10.7.1.0-24',
  v4: parsePrefix('10.7.1.0/24'),
  v6: undefined,
  attributes: leaseAttributes('192.0.2.1'),
  expiresAt: 0,
  node: 'a',
};

t.test('when to renew', async t => {
  let wall = 1_000_000;
  let mono = 5;
  const clock = (expiresAt: number | undefined) =>
    new RenewalClock(
      { ...LEASE, expiresAt },
      HOUR,
      () => wall,
      () => mono,
    );
  const day = clock(wall + 24 * HOUR);
  t.equal(day.isDue, false);
  t.equal(day.leftMs, 24 * HOUR);
  wall += 23 * HOUR + 1;
  t.equal(day.isDue, true, 'the wall clock jumped on: the machine slept');
  wall -= 30 * HOUR;
  mono += 22 * HOUR;
  t.equal(day.isDue, false);
  mono += HOUR;
  t.equal(day.isDue, true, 'the wall clock was set back: the monotonic one counts');
  t.equal(day.leftMs, HOUR);
  const short = clock(wall + HOUR);
  t.equal(short.isDue, false, 'the margin is at most half of the life');
  mono += HOUR / 2;
  t.equal(short.isDue, true);
  for (const never of [0, undefined]) {
    t.equal(clock(never).isDue, false);
    t.equal(clock(never).leftMs, undefined);
  }
});

function holder(store: Partial<LeaseStore>, log = createLog('silent')) {
  const events: string[] = [];
  const made = new LeaseClient(store as LeaseStore, HOUR, log, new AbortController().signal, {
    held: () => events.push('held'),
    renewed: () => events.push('renewed'),
    lost: () => events.push('lost'),
    moved: lease => events.push(`moved ${lease.key}`),
  });
  made.hold(config, LEASE);
  return { made, events };
}

t.test('a lost lease is taken again, as often as it takes', async t => {
  let calls = 0;
  const { made, events } = holder({
    acquire: async () => {
      calls++;
      if (calls === 1) throw new RipstopError('ESTORE', 'away');
      if (calls === 2) throw new RipstopError('EINUSE', 'a rival');
      return LEASE;
    },
  });
  await Promise.all([made.reacquire('x'), made.reacquire('x')]);
  t.equal(calls, 3, 'one at a time');
  t.same(events, ['lost', 'held'], 'an unreachable store says nothing about the lease');
});

t.test('own Node that is gone (K8): the lease counts as lost, and the log has one line', async t => {
  let left = 4;
  const lines: string[] = [];
  const log = { error: (text: string) => lines.push(text), info: () => {} } as unknown as Log;
  const acquire = async () => {
    if (left-- > 0) throw new RipstopError('ENOLEASE', 'Node a does not exist');
    return LEASE;
  };
  const { made, events } = holder({ acquire }, log);
  made.check(seen());
  await until('the lease', () => events.includes('held'));
  t.same(events, ['lost', 'lost', 'lost', 'lost', 'held']);
  t.same(lines, ['our lease is gone from the store; cannot reacquire it: Node a does not exist']);
  t.same([...made.failing], []);
});

const seen = (...leases: Lease[]) => new Map(leases.map(lease => [lease.key, lease]));

t.test('another subnet is told; what is seen in the store is compared', async t => {
  let calls = 0;
  const { made, events } = holder({
    acquire: async () => {
      calls++;
      return { ...LEASE, key: '10.7.2.0-24', v4: parsePrefix('10.7.2.0/24') };
    },
  });
  made.check(seen(LEASE));
  t.equal(calls, 0, 'all is well');
  made.check(seen());
  await new Promise(resolve => setImmediate(resolve));
  t.same(events, ['moved 10.7.2.0-24']);
  made.check(seen({ ...LEASE, attributes: leaseAttributes('192.0.2.1', 9) }));
  await new Promise(resolve => setImmediate(resolve));
  t.equal(calls, 2, 'written over');
  made.check(seen({ ...LEASE, v4: parsePrefix('10.7.9.0/24') }));
  await new Promise(resolve => setImmediate(resolve));
  t.equal(calls, 3, 'another subnet under the same name, as after a Node was deleted and created again');
});

t.test('a failure that comes after another network took over is not reported', async t => {
  let refuse = (): void => {};
  const { made, events } = holder({
    acquire: () =>
      new Promise((_resolve, reject) => {
        refuse = () => reject(new RipstopError('EINUSE', 'a rival'));
      }),
  });
  const reacquired = made.reacquire('x');
  await new Promise(resolve => setImmediate(resolve));
  made.release();
  made.hold(config, LEASE);
  refuse();
  await reacquired;
  t.same(events, [], 'the address is not contested');
  t.same([...made.failing], []);
});

t.test(
  'a success that comes after another network took over, the former lease is not held again',
  async t => {
    const next: Lease = { ...LEASE, key: '10.7.9.0-24', v4: parsePrefix('10.7.9.0/24') };
    const asked: unknown[] = [];
    const answers: ((lease: Lease) => void)[] = [];
    const { made, events } = holder({
      acquire: ({ previous }) => {
        asked.push(previous);
        return new Promise(resolve => answers.push(resolve));
      },
    });
    const again = made.reacquire('x');
    await until('the first acquisition', () => answers.length === 1);
    const taken = made.acquire({ config, attributes: next.attributes, previous: next });
    answers[0]!(LEASE);
    await again;
    t.equal(made.lease, undefined);
    t.same(events, [], 'the former network hears of nothing');
    await until('the next acquisition', () => answers.length === 2);
    answers[1]!(next);
    t.equal(await taken, next);

    // The next network is prepared, and the present one still carries the packets.
    made.check(seen(next));
    await made.reacquire('the saved state is confirmed', { config, lease: LEASE });
    t.same(asked, [LEASE, next], 'nothing overwrites the lease of the next network');
    made.hold(config, next);
    made.check(seen());
    await until('a lease that is lost to be taken again', () => asked.length === 3);
    t.equal(asked[2], next);
    answers[2]!(next);
  },
);

t.test('renewal: only when due, and a lease that ended is taken again', async t => {
  const calls: string[] = [];
  const { made, events } = holder({
    renew: async () => {
      calls.push('renew');
      return undefined;
    },
    acquire: async () => {
      calls.push('acquire');
      return LEASE;
    },
  });
  await made.renewWhenDue();
  t.same(calls, []);
  made.hold(config, { ...LEASE, expiresAt: Date.now() });
  await made.renewWhenDue();
  t.same(calls, ['renew', 'acquire']);
  t.same(events, ['held']);
  made.release();
  await made.renewWhenDue();
  t.equal(calls.length, 2);
});

t.test(
  'the store gave our lease another end (J13): acquired again; a renewal that did so is not a difference',
  async t => {
    let acquired = 0;
    const { made, events } = holder({
      acquire: async () => ({ ...LEASE, term: `acquired ${++acquired}` }),
      renew: async lease => ({ ...lease, expiresAt: Date.now() + 24 * HOUR, term: 'renewed' }),
    });
    const settled = () => new Promise(resolve => setImmediate(resolve));
    made.hold(config, { ...LEASE, term: '1' });
    made.check(seen({ ...LEASE, term: '1' }));
    await settled();
    t.same(events, []);
    made.check(seen({ ...LEASE, term: 'of an operator' }));
    await settled();
    t.same(events, ['held']);
    t.equal(made.lease?.term, 'acquired 1');
    made.hold(config, { ...LEASE, term: '1', expiresAt: Date.now() - 1 });
    await made.renewWhenDue();
    made.check(seen({ ...LEASE, term: 'renewed' }));
    await settled();
    t.same(events, ['held', 'renewed']);
    t.equal(acquired, 1);
  },
);
