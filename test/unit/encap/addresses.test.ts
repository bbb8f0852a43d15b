import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import t from 'tap';
import * as addresses from '../../../encap/wire/addresses.ts';
import { addressBytes, mappedBytesOf, requireAddress } from '../../../src/ip/address.ts';
import { macBytes } from '../../../src/ip/mac.ts';
import { seeded } from '../../fixtures/random.ts';

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
  for (const [read, written] of cases) t.equal(addresses.addressText(addressBytes(read)), written, read);
});

t.test('addresses survive writing and reading, and Node agrees that they are IPv6', async t => {
  const random = seeded(t, 0x5eed0003);
  for (let round = 0; round < 2000; round++) {
    const bytes = random.bytes(16);
    for (let i = 0; i < 16; i += 2) if (random.chance(0.5)) bytes.fill(0, i, i + 2);
    const text = addresses.addressText(bytes);
    assert.ok(isIPv6(text), text);
    assert.deepEqual(addressBytes(text), bytes);
    const quad = random.bytes(4);
    assert.deepEqual(addressBytes(addresses.addressText(quad)), quad);
    const mac = random.bytes(6);
    assert.deepEqual(macBytes(addresses.macText(mac)), mac);
  }
  t.pass('2000 rounds');
});

t.test('bytes of another number are refused', async t => {
  const view = new DataView(new ArrayBuffer(32));
  t.throws(() => addresses.addressText(new Uint8Array(5)), RangeError);
  t.throws(() => addresses.macText(new Uint8Array(5)), RangeError);
  t.throws(() => addresses.writeBytes(view, 0, new Uint8Array(5), 4), RangeError);
});

t.test('the 16-byte form of an IPv4 address is written as the IPv4 address', async t => {
  const mapped = mappedBytesOf(requireAddress('192.0.2.1'));
  t.strictSame(mapped, addressBytes('::ffff:192.0.2.1'));
  t.equal(addresses.formatIp(addresses.viewOf(mapped), 0), '192.0.2.1');
  t.equal(addresses.formatIp(addresses.viewOf(addressBytes('fd00::1')), 0), 'fd00::1');
});
