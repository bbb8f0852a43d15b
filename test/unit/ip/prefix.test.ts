import t from 'tap';
import { formatAddress, requireAddress } from '../../../src/ip/address.ts';
import {
  baseAddress,
  canonicalNetwork,
  contains,
  covers,
  formatPrefix,
  halvesOf,
  isNetwork,
  isSamePrefix,
  lastOf,
  networkOf,
  nth,
  overlaps,
  parsePrefix,
  requirePrefix,
  sizeOf,
} from '../../../src/ip/prefix.ts';

t.test('prefixes are read with their host bits, a bare address with its whole length', async t => {
  t.strictSame(parsePrefix('10.1.2.3/24'), { family: 4, value: 0x0a010203n, length: 24 });
  t.strictSame(parsePrefix('fd00::/64'), { family: 6, value: 0xfd00n << 112n, length: 64 });
  t.equal(parsePrefix('10.1.2.3')?.length, 32);
  t.equal(parsePrefix('fd00::1')?.length, 128);
  t.equal(formatPrefix(requirePrefix('FD00::0/0')), 'fd00::/0');
  t.equal(parsePrefix('10.0.0.0/024')?.length, 24, 'as in Go');
});

t.test('invalid prefix: refused', async t => {
  const bad =
    '|10.0.0.0/|10.0.0.0/33|fd00::/129|10.0.0.0/-1|10.0.0.0/+8|10.0.0.0/ 8|10.0.0.0/8 |10.0.0.0/0008|10.0.0.0/8/8|' +
    '10.0.0/8|/8|fe80::%eth0/64|fe80::/64%eth0|10.0.0.0/1e1|10.0.0.0/255.0.0.0';
  for (const text of bad.split('|')) t.equal(parsePrefix(text), undefined, JSON.stringify(text));
  t.throws(() => requirePrefix('10.0.0.0/33'), {
    code: 'ECONFIG',
    message: '"10.0.0.0/33" is not a subnet',
    hint: 'write 10.244.1.0/24 or fd00:1::/64',
  });
  t.throws(() => canonicalNetwork('x'), { code: 'ECONFIG' });
});

t.test('networks', async t => {
  const networks: Record<string, string> = {
    '10.1.2.3/24': '10.1.2.0/24',
    '10.1.2.3/31': '10.1.2.2/31',
    '10.1.2.3/32': '10.1.2.3/32',
    '10.1.2.3': '10.1.2.3/32',
    '255.1.2.3/0': '0.0.0.0/0',
    'fd00:10:244:1::1/49': 'fd00:10:244::/49',
    'ffff::1/0': '::/0',
  };
  for (const [text, network] of Object.entries(networks)) {
    t.equal(canonicalNetwork(text), network);
    t.equal(isNetwork(requirePrefix(text)), text.split('/')[0] === network.split('/')[0], text);
    t.ok(isSamePrefix(networkOf(requirePrefix(text)), requirePrefix(network)));
  }
  t.equal(baseAddress(requirePrefix('10.244.3.77/20')), '10.244.0.0');
  t.equal(sizeOf(4, 24), 256n);
  t.equal(sizeOf(6, 64), 1n << 64n);
  t.strictSame(halvesOf(requirePrefix('10.0.0.0/8')).map(formatPrefix), ['10.0.0.0/9', '10.128.0.0/9']);
  t.strictSame(halvesOf(requirePrefix('fd00::/64')).map(formatPrefix), ['fd00::/65', 'fd00::8000:0:0:0/65']);
});

t.test('addresses of a prefix', async t => {
  const subnet = requirePrefix('10.1.2.77/24');
  t.strictSame([nth(subnet, 0n), nth(subnet, 1n), lastOf(subnet)].map(formatAddress), [
    '10.1.2.0',
    '10.1.2.1',
    '10.1.2.255',
  ]);
  t.equal(formatAddress(lastOf(requirePrefix('fd00::/64'))), 'fd00::ffff:ffff:ffff:ffff');
});

t.test('what contains what', async t => {
  const cases: [outer: string, inner: string, contained: boolean, overlapping: boolean][] = [
    ['10.0.0.0/8', '10.1.0.0/16', true, true],
    ['10.1.0.0/16', '10.0.0.0/8', false, true],
    ['10.1.0.0/16', '10.1.0.0/16', true, true],
    ['10.1.0.0/16', '10.2.0.0/16', false, false],
    ['0.0.0.0/0', '10.2.0.0/16', true, true],
    ['0.0.0.0/0', '::/0', false, false],
    ['fd00::/63', 'fd00:0:0:1::/64', true, true],
    ['10.1.2.3/24', '10.1.2.200/25', true, true],
  ];
  for (const [outer, inner, contained, overlapping] of cases) {
    t.equal(contains(requirePrefix(outer), requirePrefix(inner)), contained, `${inner} in ${outer}`);
    t.equal(overlaps(requirePrefix(outer), requirePrefix(inner)), overlapping, `${inner} and ${outer}`);
    t.equal(overlaps(requirePrefix(inner), requirePrefix(outer)), overlapping, `${outer} and ${inner}`);
  }
  t.ok(covers('::/0', 'fd00::/64'));
  t.notOk(covers('10.244.9.0/24', '10.244.0.0/16'));
  t.ok(contains(requirePrefix('10.1.2.0/24'), requireAddress('10.1.2.255')));
  t.notOk(contains(requirePrefix('10.1.2.0/24'), requireAddress('10.1.3.0')));
  t.notOk(contains(requirePrefix('0.0.0.0/0'), requireAddress('::1')));
});
