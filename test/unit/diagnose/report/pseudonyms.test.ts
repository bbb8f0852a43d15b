import t from 'tap';
import { jsonSchema, nullable, oneOf, record, string } from '../../../../src/base/schema.ts';
import { Pseudonyms } from '../../../../src/diagnose/report/pseudonyms.ts';
import { addressBytes, requireAddress } from '../../../../src/ip/address.ts';
import { contains, isNetwork, requirePrefix } from '../../../../src/ip/prefix.ts';
import { seeded } from '../../../fixtures/random.ts';

/** Number of leading bits that two addresses share. */
function shared(a: string, b: string): number {
  const bits = (text: string) =>
    [...addressBytes(text)].map(byte => byte.toString(2).padStart(8, '0')).join('');
  const [one, other] = [bits(a), bits(b)];
  const at = [...one].findIndex((bit, index) => bit !== other[index]);
  return at < 0 ? one.length : at;
}

t.test('two addresses, replaced, share as many leading bits as before', async t => {
  const random = seeded(t, 19);
  const pseudonyms = new Pseudonyms();
  const byte = () => random.below(256);
  const word = () => random.below(65_536).toString(16);
  for (let round = 0; round < 200; round++) {
    const pairs = [
      [`10.${byte()}.${byte()}.${byte()}`, `10.${byte()}.${byte()}.${byte()}`],
      [`203.0.113.${byte()}`, `203.0.113.${byte()}`],
      [`fd00:${word()}::${word()}`, `fd00:${word()}::${word()}`],
    ] as const;
    for (const [a, b] of pairs)
      if (shared(pseudonyms.address(a), pseudonyms.address(b)) !== shared(a, b)) t.fail(`${a} ${b}`);
  }
  t.not(pseudonyms.address('203.0.113.77'), '203.0.113.77');
  t.not(new Pseudonyms().address('fd00:1:2:3::4'), new Pseudonyms().address('fd00:1:2:3::4'));
});

t.test('networks and their members, replaced in texts, keep their relation', async t => {
  const pseudonyms = new Pseudonyms();
  const text =
    '{"subnet":"10.244.16.0/20","key":"10.244.48.0-20","via":"10.244.16.0","pod":"10.244.17.9","v6":"fd00:10:244:1::/64",' +
    '"pod6":"fd00:10:244:1::7","time":"03:00:01.25","mac":"0a:58:0a:f4:01:05","node":"alpha.example","other":"alpha-2"}';
  pseudonyms.addNames('node', ['alpha', 'alpha.example', 'alpha-2', '10.0.0.1']);
  pseudonyms.learn(JSON.parse(text));
  const found = JSON.parse(pseudonyms.replace(text)) as Record<string, string>;
  const subnet = requirePrefix(found.subnet!);
  t.ok(isNetwork(subnet));
  t.equal(found.via, found.subnet!.split('/')[0], 'the first address of a network stays the first one');
  t.ok(contains(subnet, requireAddress(found.pod!)));
  t.ok(isNetwork(requirePrefix(found.key!.replace('-', '/'))));
  t.notOk(contains(subnet, requireAddress(found.key!.split('-')[0]!)));
  t.ok(contains(requirePrefix(found.v6!), requireAddress(found.pod6!)));
  t.equal(found.time, '03:00:01.25');
  t.match(found.mac, /^02(:[0-9a-f]{2}){5}$/);
  t.not(found.mac, '0a:58:0a:f4:01:05');
  t.same([found.node, found.other], ['node-3', 'node-2']);
  t.equal(pseudonyms.replace('10.244.17.9'), found.pod, 'the same address has the same pseudonym');
  t.notMatch(JSON.stringify(found), /10\.244\.17\.9|fd00:10:244:1|alpha/);
});

t.test('addresses that mean the same on every node stay', async t => {
  const pseudonyms = new Pseudonyms();
  const fixed = '0.0.0.0 0.0.0.0/0 127.0.0.1 224.0.0.1 255.255.255.255 :: ::/0 ::1 ff02::1 ff:ff:ff:ff:ff:ff';
  pseudonyms.learn(fixed);
  t.equal(pseudonyms.replace(fixed), fixed);
  t.match(pseudonyms.replace('fe80::1234'), /^fe80::/);
  t.match(pseudonyms.replace('192.168.7.9 172.20.1.1 10.1.1.1'), /^192\.168\.\S+ 172\.\d+\S+ 10\.\S+$/);
  t.equal(pseudonyms.replace('1.2.3 999.1.1.1 12:30:00 a::b::c'), '1.2.3 999.1.1.1 12:30:00 a::b::c');
});

t.test(
  'a name, found where an address, an enumeration or a longer word has the same letters, leaves them alone',
  async t => {
    const pseudonyms = new Pseudonyms();
    pseudonyms.addNames('node', ['1', 'vxlan', 'alpha', 'ip-10-0-0-1']);
    const schema = jsonSchema(
      record({ mode: oneOf(['vxlan', 'udp']), node: string, text: nullable(string) }),
    );
    const value = { mode: 'vxlan', node: 'vxlan', text: 'kube-proxy-alpha and alphabet at ip-10-0-0-1' };
    t.match(pseudonyms.replaceValue(value, schema), {
      mode: 'vxlan',
      node: /^node-\d$/,
      text: /^kube-proxy-node-\d and alphabet at node-\d$/,
    });
    t.match(pseudonyms.replace('192.168.1.1'), /^192\.168\.\d+\.\d+$/);
    t.match(pseudonyms.replace('::ffff:192.168.7.7'), /^::ffff:192\.168\.\d+\.\d+$/);
  },
);

t.test('a network in the JSON of nftables, replaced, has no host bits', async t => {
  const pseudonyms = new Pseudonyms();
  const value = { prefix: { addr: '10.244.16.0', len: 20 } };
  pseudonyms.learn(value);
  const { prefix } = pseudonyms.replaceValue(value) as typeof value;
  t.ok(isNetwork(requirePrefix(`${prefix.addr}/${prefix.len}`)));
  t.not(prefix.addr, '10.244.16.0');
});
