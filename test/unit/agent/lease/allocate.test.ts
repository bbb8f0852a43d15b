import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import { losesTieBreak, nextAction } from '../../../../src/agent/lease/acquire.ts';
import {
  isWithinRanges,
  pickSubnets,
  type Random,
  subnetsOverlap,
} from '../../../../src/agent/lease/allocate.ts';
import { formatKey, type Lease, type Subnets } from '../../../../src/agent/lease/lease.ts';
import { contains, formatPrefix, parsePrefix } from '../../../../src/ip/prefix.ts';

const seed = Number(process.env.SEED ?? 20261124);
t.comment(`SEED=${seed}`);

/** xorshift32: enough for choosing among subnets. */
function seeded(start: number): Random {
  let state = start | 1;
  return bound => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

const subnets = (v4?: string, v6?: string): Subnets => ({
  v4: v4 ? parsePrefix(v4) : undefined,
  v6: v6 ? parsePrefix(v6) : undefined,
});
const config = (extra = {}) =>
  parseNetConf(JSON.stringify({ Network: '10.0.0.0/16', Backend: { Type: 'vxlan' }, ...extra }), 'x');
const attributes = (publicIp: string) => ({
  publicIp,
  publicIpv6: undefined,
  backendType: 'vxlan',
  backendData: undefined,
  backendV6Data: undefined,
});

function lease(held: Subnets, publicIp: string, more: Partial<Lease> = {}): Lease {
  return {
    ...held,
    key: formatKey(held),
    attributes: attributes(publicIp),
    expiresAt: 1,
    node: undefined,
    ...more,
  };
}

t.test('the previous subnet is taken again when it is free and right', async t => {
  const random: Random = () => 0;
  const again = pickSubnets(config(), [], subnets('10.0.77.0/24'), random) as Subnets;
  t.equal(formatPrefix(again.v4!), '10.0.77.0/24');
  const held = pickSubnets(config(), [subnets('10.0.77.0/24')], subnets('10.0.77.0/24'), random) as Subnets;
  t.equal(formatPrefix(held.v4!), '10.0.1.0/24');
  const wrongLength = pickSubnets(config(), [], subnets('10.0.76.0/23'), random) as Subnets;
  t.equal(formatPrefix(wrongLength.v4!), '10.0.1.0/24');
  const outside = pickSubnets(
    config({ SubnetMin: '10.0.80.0' }),
    [],
    subnets('10.0.77.0/24'),
    random,
  ) as Subnets;
  t.equal(formatPrefix(outside.v4!), '10.0.80.0/24');
});

t.test('a hundred seeded fillings: never an overlap, every subnet used, then full', async t => {
  const net = config({
    Network: '10.0.0.0/24',
    SubnetLen: 28,
    EnableIPv6: true,
    IPv6Network: 'fc00::/120',
    IPv6SubnetLen: 124,
  });
  const wrong: string[] = [];
  for (let round = 0; round < 100; round++) {
    const random = seeded(seed + round);
    const taken: Subnets[] = [];
    for (let picked = pickSubnets(net, taken, undefined, random); !('full' in picked); ) {
      if (taken.some(other => subnetsOverlap(other, picked as Subnets)))
        wrong.push(`${round}: ${formatKey(picked)} collides`);
      if (!contains(net.v4!, picked.v4!) || !isWithinRanges(net, picked))
        wrong.push(`${round}: ${formatKey(picked)} does not fit`);
      taken.push(picked);
      picked = pickSubnets(net, taken, undefined, random);
    }
    if (taken.length !== 15) wrong.push(`${round}: ${taken.length} subnets of 15`);
  }
  t.same(wrong, []);
});

t.test('foreign lengths and wide leases block what they cover', async t => {
  const net = config({ Network: '10.0.0.0/22', SubnetLen: 24, SubnetMin: '10.0.0.0' });
  const taken = [subnets('10.0.0.128/25'), subnets('10.0.2.0/23'), subnets('192.168.0.0/24')];
  t.equal(formatPrefix((pickSubnets(net, taken, undefined, () => 0) as Subnets).v4!), '10.0.1.0/24');
  t.same(
    pickSubnets(net, [...taken, subnets('10.0.1.7/32')], undefined, () => 0),
    { full: 4 },
  );
});

t.test('the IPv6 half is unique by itself', async t => {
  const net = config({ EnableIPv6: true, IPv6Network: 'fc00::/60', IPv6SubnetMin: 'fc00:0:0:1::' });
  const others = [subnets('10.0.1.0/24', 'fc00:0:0:1::/64'), subnets('10.0.2.0/24', 'fc00:0:0:2::/64')];
  const picked = pickSubnets(net, others, subnets('10.0.9.0/24', 'fc00:0:0:2::/64'), () => 0) as Subnets;
  t.equal(formatKey(picked), '10.0.9.0-24&fc00:0:0:3::-64', 'the free half is kept, the other replaced');
});

t.test('the first free of a wide IPv6 range is found by walking the gaps, not the range', async t => {
  const net = config({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/16' });
  const taken = Array.from({ length: 1000 }, (_, i) =>
    subnets(undefined, `fc00:0:0:${(i + 1).toString(16)}::/64`),
  );
  const picked = pickSubnets(net, taken, undefined, () => 0) as Subnets;
  t.equal(formatPrefix(picked.v6!), 'fc00:0:0:3e9::/64');
});

t.test('identity: the lease with our public address is kept', async t => {
  const request = { config: config(), attributes: attributes('1.1.1.1'), previous: undefined };
  const own = lease(subnets('10.0.5.0/24'), '1.1.1.1');
  t.same(nextAction(request, [lease(subnets('10.0.6.0/24'), '2.2.2.2'), own], 'a/1'), {
    do: 'keep',
    lease: own,
  });
  const reserved = { ...own, expiresAt: 0 };
  t.match(nextAction(request, [reserved], 'a/1'), { do: 'keep', lease: reserved });
});

t.test('identity: a lease that no longer isWithinRanges is dropped, a reservation is left', async t => {
  const request = { config: config(), attributes: attributes('1.1.1.1'), previous: undefined };
  const stale = lease(subnets('10.9.5.0/24'), '1.1.1.1');
  const reserved = lease(subnets('10.8.5.0/24'), '1.1.1.1', { expiresAt: 0 });
  const step = nextAction(request, [stale, reserved], 'a/1', () => 0);
  t.equal(step.do, 'create');
  t.same(step.do === 'create' && step.drop, [stale]);
});

t.test('a live node with our address is refused; a dead one is followed', async t => {
  const request = { config: config(), attributes: attributes('1.1.1.1'), previous: undefined };
  t.throws(() => nextAction(request, [lease(subnets('10.0.5.0/24'), '1.1.1.1', { node: 'b/2' })], 'a/1'), {
    code: 'EINUSE',
    message: /node b is alive under the same public address \(1.1.1.1, lease 10.0.5.0-24\)/,
  });
  t.throws(
    () => nextAction(request, [lease(subnets('10.0.5.0/24'), '1.1.1.1', { node: 'a/2' })], 'a/1'),
    { code: 'EINUSE' },
    'a clone with our name',
  );
  t.equal(nextAction(request, [lease(subnets('10.0.5.0/24'), '1.1.1.1')], 'a/1').do, 'keep');
});

t.test('no subnet of the network between the nodes is taken', async t => {
  const avoid = [parsePrefix('10.0.1.0/24')!, parsePrefix('10.0.1.7/32')!, parsePrefix('192.0.2.0/24')!];
  const request = {
    config: config(),
    attributes: attributes('1.1.1.1'),
    previous: subnets('10.0.1.0/24'),
    avoid,
  };
  const step = nextAction(request, [], 'a/1', () => 0);
  t.match(step, { do: 'create' });
  t.equal(formatPrefix((step as { subnets: Subnets }).subnets.v4!), '10.0.2.0/24');
  const held = lease(subnets('10.0.1.0/24'), '1.1.1.1');
  t.match(
    nextAction(request, [held], 'a/1', () => 0),
    { do: 'create', drop: [held] },
    'one that is held is given up',
  );
  const flat = { ...request, avoid: [parsePrefix('10.0.0.0/8')!] };
  t.throws(() => nextAction(flat, [], 'a/1'), { code: 'ERANGE', hint: /10\.0\.0\.0\/8/ });
});

t.test('our name under another address: the subnet moves with us', async t => {
  const request = { config: config(), attributes: attributes('1.1.1.9'), previous: undefined };
  const own = lease(subnets('10.0.5.0/24'), '1.1.1.1', { node: 'a/1' });
  t.match(nextAction(request, [own], 'a/1'), { do: 'keep', lease: own });
});

t.test('full', async t => {
  const request = {
    config: config({ Network: '10.0.0.0/28' }),
    attributes: attributes('1.1.1.1'),
    previous: undefined,
  };
  const all = ['4', '8', '12'].map(n => lease(subnets(`10.0.0.${n}/30`), `2.2.2.${n}`));
  t.throws(() => nextAction(request, all, 'a/1'), {
    code: 'ERANGE',
    message: /no free IPv4 subnet of \/30 left in 10.0.0.0\/28$/,
  });
  // faults.md J13: the range that is full, not the network around it.
  const narrow = config({ SubnetMin: '10.0.10.0', SubnetMax: '10.0.12.0' });
  const taken = ['10', '11', '12'].map(n => lease(subnets(`10.0.${n}.0/24`), `2.2.2.${n}`));
  t.throws(() => nextAction({ ...request, config: narrow }, taken, 'a/1'), {
    code: 'ERANGE',
    message:
      /left in 10\.0\.10\.0\.\.10\.0\.12\.0, the range that SubnetMin and SubnetMax give in 10\.0\.0\.0\/\d+$/,
  });
});

t.test('after a race exactly one of two yields', async t => {
  const a = lease(subnets('10.0.1.0/24', 'fc00:0:0:1::/64'), '1.1.1.1');
  const b = lease(subnets('10.0.2.0/24', 'fc00:0:0:1::/64'), '2.2.2.2');
  t.equal(losesTieBreak(b, [a], b.attributes), true);
  t.equal(losesTieBreak(a, [], a.attributes), false);
});
