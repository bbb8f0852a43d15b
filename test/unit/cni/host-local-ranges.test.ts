import t from 'tap';
import { candidates, readRange, readRangeSet, setsOverlap } from '../../../src/cni/ipam/host-local/ranges.ts';
import { type Family, formatAddress } from '../../../src/ip/address.ts';

const show = (family: Family) => (value: bigint) => formatAddress({ family, value });

t.test('defaults: first address the gateway, last before the broadcast', t => {
  const v4 = readRange({ subnet: '10.1.2.0/24' }, 'r');
  t.strictSame([v4.start, v4.end, v4.gateway].map(show(4)), ['10.1.2.1', '10.1.2.254', '10.1.2.1']);
  const v6 = readRange({ subnet: 'fd00:1::/64' }, 'r');
  t.strictSame([v6.start, v6.end, v6.gateway].map(show(6)), [
    'fd00:1::1',
    'fd00:1::ffff:ffff:ffff:ffff',
    'fd00:1::1',
  ]);
  t.end();
});

t.test('what is wrong is named, with what would be right', t => {
  const cases: [object, RegExp][] = [
    [{}, /^r\.subnet: is missing/],
    [{ subnet: '10.1.2.0' }, /^r\.subnet: "10\.1\.2\.0" is not a CIDR/],
    [{ subnet: 'nonsense/24' }, /is not a CIDR/],
    [
      { subnet: '10.1.2.3/24' },
      /^Network has host bits set\. For a subnet mask of length 24 the network address is 10\.1\.2\.0$/,
    ],
    [{ subnet: '10.1.2.0/31' }, /^Network 10\.1\.2\.0\/31 too small to allocate from/],
    [{ subnet: '10.1.2.0/32' }, /too small to allocate from/],
    [{ subnet: 'fd00::/127' }, /too small to allocate from/],
    [
      { subnet: '10.1.2.0/24', rangeStart: '10.1.3.1' },
      /^RangeStart 10\.1\.3\.1 not in network 10\.1\.2\.0\/24/,
    ],
    [{ subnet: '10.1.2.0/24', rangeEnd: '10.1.1.255' }, /^RangeEnd 10\.1\.1\.255 not in network/],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9', rangeEnd: '10.1.2.8' }, /is behind the end/],
    [{ subnet: '10.1.2.0/24', rangeStart: 'x' }, /^r\.rangeStart: "x" is not an IP address/],
    [{ subnet: '10.1.2.0/24', gateway: 'fd00::1' }, /^r\.gateway: fd00::1 is not of the subnet's family/],
  ];
  for (const [config, message] of cases) t.throws(() => readRange(config, 'r'), { code: 7, message });
  t.doesNotThrow(() => readRange({ subnet: '10.1.2.4/30' }, 'r'));
  t.doesNotThrow(() => readRange({ subnet: 'fd00::4/126' }, 'r'));
  t.end();
});

t.test('sets: one family, no overlap inside or across', t => {
  const v4 = { subnet: '10.1.2.0/24' };
  t.throws(() => readRangeSet([], 's'), { code: 7, message: /empty range set/ });
  t.throws(() => readRangeSet([v4, { subnet: 'fd00::/64' }], 's'), {
    code: 7,
    message: /mixed address families/,
  });
  t.throws(() => readRangeSet([v4, { subnet: '10.1.0.0/16' }], 's'), { code: 7, message: /overlap/ });
  const low = readRangeSet(
    [
      { ...v4, rangeEnd: '10.1.2.99' },
      { ...v4, rangeStart: '10.1.2.150' },
    ],
    's',
  );
  const middle = readRangeSet([{ ...v4, rangeStart: '10.1.2.100', rangeEnd: '10.1.2.149' }], 's');
  t.notOk(setsOverlap(low, middle), 'bounds touch without overlapping');
  t.ok(setsOverlap(low, readRangeSet([{ ...v4, rangeStart: '10.1.2.99', rangeEnd: '10.1.2.100' }], 's')));
  t.end();
});

t.test('candidates: behind the last one, around once, without the reserved', t => {
  const list = (configs: object[], last?: string) => {
    const set = readRangeSet(configs, 's');
    const at =
      last === undefined ? undefined : readRange({ subnet: '0.0.0.0/0', rangeStart: last }, 'x').start;
    return [...candidates(set, at)].map(({ value }) => formatAddress({ family: 4, value }));
  };
  const small = [{ subnet: '10.0.0.0/29' }];
  t.strictSame(list(small), ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
  t.strictSame(list(small, '10.0.0.4'), ['10.0.0.5', '10.0.0.6', '10.0.0.2', '10.0.0.3', '10.0.0.4']);
  t.strictSame(list(small, '10.0.0.6'), ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
  t.strictSame(list(small, '192.168.0.1').length, 5, 'a last one of another range begins at the first');
  const two = [{ subnet: '10.0.0.0/29', rangeStart: '10.0.0.5' }, { subnet: '10.0.1.0/30' }];
  t.strictSame(list(two, '10.0.0.5'), ['10.0.0.6', '10.0.1.2', '10.0.0.5']);
  t.strictSame(list(two, '10.0.1.2'), ['10.0.0.5', '10.0.0.6', '10.0.1.2']);
  const whole = [
    { subnet: '10.0.0.0/30', rangeStart: '10.0.0.0', rangeEnd: '10.0.0.3', gateway: '10.0.0.2' },
  ];
  t.strictSame(list(whole), ['10.0.0.0', '10.0.0.1', '10.0.0.3'], 'the gateway is never given');
  t.end();
});
