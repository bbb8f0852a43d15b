import assert from 'node:assert/strict';
import t from 'tap';
import { FORMATS } from '../../../encap/formats.ts';
import { buildOuter, type Outer } from '../../../encap/outer-header.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import { pseudo4, pseudo6, verify } from '../../../encap/wire/checksum.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import { addressBytes } from '../../../src/ip/address.ts';
import { seeded } from '../../fixtures/random.ts';

const FOUR: Outer = {
  source: addressBytes('192.0.2.1'),
  destination: addressBytes('192.0.2.2'),
  sourcePort: 50_000,
  destinationPort: 8472,
  header: FORMATS.vxlan.header(1),
};
const SIX: Outer = { ...FOUR, source: addressBytes('2001:db8::1'), destination: addressBytes('2001:db8::2') };

t.test('lengths and checksums are right for frames of every small length and some large ones', async t => {
  const random = seeded(t, 0x5eed0012);
  const lengths = [...Array.from({ length: 200 }, (_, i) => i), 1450, 1451, 9000, 65_000, 65_499];
  for (const length of lengths) {
    const frame = random.bytes(length);
    for (const [outer, ipBytes] of [
      [FOUR, 20],
      [SIX, 40],
    ] as const) {
      const bytes = buildOuter(outer, frame);
      const view = viewOf(bytes);
      assert.equal(bytes.length, ipBytes + 8 + 8 + length);
      const udpBytes = bytes.length - ipBytes;
      const seed = ipBytes === 20 ? pseudo4(view, 0, 17, udpBytes) : pseudo6(view, 0, 17, udpBytes);
      assert.ok(verify(view, ipBytes, udpBytes, seed), `UDP checksum, ${length} bytes`);
      if (ipBytes === 20) assert.ok(ipv4.isChecksumGood(view, 0));
      assert.equal(Buffer.compare(bytes.subarray(ipBytes + 16), frame), 0, `frame of ${length} bytes`);
    }
  }
  t.pass(`${lengths.length} lengths`);
});

t.test('a UDP checksum that comes out as zero is sent as all ones, one left out as zero', async t => {
  const frame = new Uint8Array(2);
  const checksumOf = (outer: Outer, inner: Uint8Array) => viewOf(buildOuter(outer, inner)).getUint16(20 + 6);
  const before = checksumOf(FOUR, frame);
  // Adding the checksum to the data makes the sum all ones.
  viewOf(frame).setUint16(0, before);
  t.equal(checksumOf(FOUR, frame), 0xffff);
  t.equal(checksumOf({ ...FOUR, checksum: false }, frame), 0);
});

t.test('what fits no datagram, mixed families and bad addresses are refused', async t => {
  const fits = (outer: Outer, length: number) => buildOuter(outer, new Uint8Array(length)).length;
  t.equal(fits(FOUR, 65_535 - 36), 65_535);
  t.throws(() => fits(FOUR, 65_535 - 35), RangeError);
  t.equal(fits(SIX, 65_535 - 16), 65_575, 'the IPv6 header does not count');
  t.throws(() => fits(SIX, 65_535 - 15), RangeError);
  t.throws(() => fits({ ...FOUR, destination: addressBytes('2001:db8::2') }, 0), RangeError);
  t.throws(
    () => fits({ ...FOUR, link: { source: new Uint8Array(5), destination: new Uint8Array(6) } }, 0),
    RangeError,
  );
});
