import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import t from 'tap';
import { addressText } from '../../../encap/wire/addresses.ts';
import {
  bytesOf,
  canonicalAddress,
  isSameAddress,
  mappedBytesOf,
  parseAddress,
  requireAddress,
} from '../../../src/ip/address.ts';
import { seeded } from '../../fixtures/random.ts';

t.test('addresses are read and written in their canonical form', async t => {
  const cases = {
    '10.0.0.1': '10.0.0.1',
    '255.255.255.255': '255.255.255.255',
    '0.0.0.0': '0.0.0.0',
    '2001:0DB8::0001': '2001:db8::1',
    '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
    '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
    '1:2:3:4:5:6:7::': '1:2:3:4:5:6:7:0',
    '::': '::',
    '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
    '::ffff:c000:201': '::ffff:192.0.2.1',
  };
  for (const [read, written] of Object.entries(cases)) t.equal(canonicalAddress(read), written, read);
  t.strictSame(parseAddress('10.0.0.1'), { family: 4, value: 0x0a000001n });
  t.strictSame(parseAddress('fd00::1'), { family: 6, value: (0xfd00n << 112n) + 1n });
  t.equal(parseAddress('::ffff:192.0.2.1')?.family, 6, 'a mapped address is an IPv6 address');
});

t.test('invalid address: refused', async t => {
  const bad =
    '|:|:::|1::2::3|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|::1:2:3:4:5:6:7:8|1:2:3:4::5:6:7:8|12345::|g::|fe80::1%eth0|::1.2.3|' +
    '::1.2.3.256|1.2.3.4::|::1.2.3.4:5|:1:2:3:4:5:6:7|1:2:3:4:5:6:7:|::ffff:1.2.3.04| ::1|::1 |1:2:3:4:5:6:7:1.2.3.4|::1/64|' +
    '[::1]|1.2.3|1.2.3.4.5|01.2.3.4|1.2.3.256|1..3.4|a.b.c.d|1.2.3.4 |-1.2.3.4|0x1.2.3.4|1.2.3.1000|10.0.0.1/8|10.0.0.1\n|::1\n';
  for (const text of bad.split('|')) t.equal(parseAddress(text), undefined, JSON.stringify(text));
  t.throws(() => requireAddress('10.0.0'), { code: 'ECONFIG', message: '"10.0.0" is not an IP address' });
  t.throws(() => canonicalAddress('nowhere'), { code: 'ECONFIG' });
});

t.test('Node takes the same texts for addresses', async t => {
  const random = seeded(t, 0x5eed0010);
  const digits = [':', ':', ':', '.', '0', '1', '25', 'f', 'ff', '::', 'g', ' ', '00', '1.2.3.4'];
  for (let round = 0; round < 2000; round++) {
    const bytes = random.bytes(random.chance(0.5) ? 4 : 16);
    for (let i = 0; i < bytes.length; i += 2) if (random.chance(0.5)) bytes.fill(0, i, i + 2);
    let text = addressText(bytes);
    assert.deepEqual(bytesOf(requireAddress(text)), bytes);
    for (let change = random.between(0, 3); change > 0; change--) {
      const at = random.between(0, text.length);
      text = text.slice(0, at) + random.pick(digits) + text.slice(at + random.between(0, 2));
    }
    assert.equal(parseAddress(text)?.family ?? 0, isIP(text), JSON.stringify(text));
  }
  t.pass('2000 rounds');
});

t.test('an address as bytes', async t => {
  const four = requireAddress('192.0.2.1');
  t.strictSame(bytesOf(four), Uint8Array.of(192, 0, 2, 1));
  t.strictSame(mappedBytesOf(four), bytesOf(requireAddress('::ffff:192.0.2.1')));
  const six = requireAddress('fd00::1');
  t.strictSame(mappedBytesOf(six), bytesOf(six));
  t.ok(isSameAddress(requireAddress('fd00:0::1'), six));
  t.notOk(isSameAddress(requireAddress('0.0.0.1'), requireAddress('::1')));
});
