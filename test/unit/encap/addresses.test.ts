import { isIPv6 } from 'node:net';
import t from 'tap';
import * as addresses from '../../../encap/wire/addresses.ts';
import { seeded } from '../../support/random.ts';

const text6 = (bytes: Uint8Array) => addresses.formatIpv6(addresses.viewOf(bytes), 0);

t.test('IPv6 is written as RFC 5952 asks', async t => {
  // Sections 4 and 5 of RFC 5952, and the corners of the longest run.
  const cases: [string, string][] = [
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::AAAA', '2001:db8::aaaa'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['::ffff:c000:201', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['0:0:1:0:0:0:0:1', '0:0:1::1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ];
  for (const [read, written] of cases) {
    const bytes = addresses.parseIpv6(read);
    t.ok(bytes, read);
    t.equal(bytes && text6(bytes), written, read);
  }
});

t.test('addresses survive writing and reading, and Node agrees that they are IPv6', async t => {
  const random = seeded(t, 0x5eed0003);
  for (let round = 0; round < 2000; round++) {
    const bytes = random.bytes(16);
    for (let i = 0; i < 16; i += 2) if (random.chance(0.5)) bytes.fill(0, i, i + 2);
    const text = text6(bytes);
    if (!isIPv6(text)) t.fail(text);
    t.strictSame(addresses.parseIpv6(text), bytes, text);
    const quad = random.bytes(4);
    t.strictSame(addresses.parseIpv4(addresses.formatIpv4(addresses.viewOf(quad), 0)), quad);
    const mac = random.bytes(6);
    t.strictSame(addresses.parseMac(addresses.formatMac(addresses.viewOf(mac), 0)), mac);
    if (!t.passing()) return;
  }
});

t.test('what is no address is refused', async t => {
  const bad6 =
    '|:|:::|1::2::3|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|::1:2:3:4:5:6:7:8|1:2:3:4::5:6:7:8|12345::|g::|fe80::1%eth0|1.2.3.4|' +
    '::1.2.3|::1.2.3.256|1.2.3.4::|::1.2.3.4:5|:1:2:3:4:5:6:7|1:2:3:4:5:6:7:|::ffff:1.2.3.04| ::1|::1 |1:2:3:4:5:6:7:1.2.3.4';
  for (const text of bad6.split('|')) t.equal(addresses.parseIpv6(text), undefined, `IPv6 "${text}"`);
  const bad4 = '|1.2.3|1.2.3.4.5|01.2.3.4|1.2.3.256|1..3.4|a.b.c.d|1.2.3.4 |-1.2.3.4|0x1.2.3.4|1.2.3.1000';
  for (const text of bad4.split('|')) t.equal(addresses.parseIpv4(text), undefined, `IPv4 "${text}"`);
  const badMac =
    '|01:02:03:04:05|01:02:03:04:05:06:07|01:02:03:04:05:0g|01:02:03-04:05:06|001:02:03:04:05:06|::::::';
  for (const text of badMac.split('|')) t.equal(addresses.parseMac(text), undefined, `MAC "${text}"`);
  t.equal(addresses.parseIp('10.0.0.'), undefined);
  t.equal(addresses.parseIp('10:0'), undefined);
});

t.test('the 16-byte form tells the family and gives words', async t => {
  const mapped = addresses.parseIp('192.0.2.1')!;
  t.strictSame(mapped, addresses.parseIpv6('::ffff:192.0.2.1'));
  const view = addresses.viewOf(mapped);
  t.equal(addresses.familyOf(view, 0), 4);
  t.equal(addresses.formatIp(view, 0), '192.0.2.1');
  t.strictSame(addresses.words(view, 0), [0, 0, 0xffff, 0xc0000201 | 0]);
  const six = addresses.viewOf(addresses.parseIp('fd00::1')!);
  t.equal(addresses.familyOf(six, 0), 6);
  t.equal(addresses.formatIp(six, 0), 'fd00::1');
  t.strictSame(addresses.parseMac('0E-1-2-a-b-C'), Uint8Array.of(0x0e, 1, 2, 10, 11, 12));
});
