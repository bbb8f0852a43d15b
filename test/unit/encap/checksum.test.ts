import assert from 'node:assert/strict';
import t from 'tap';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as checksum from '../../../encap/wire/checksum.ts';
import { seeded } from '../../fixtures/random.ts';
import { hex } from '../../vectors/hex.ts';

/** The sum as RFC 1071 tells it: 16-bit words, carries added back at once. */
function naive(bytes: Uint8Array, seed = 0): number {
  let total = seed;
  for (let i = 0; i < bytes.length; i += 2) {
    total += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (total > 0xffff) total = total - 0x10000 + 1;
  }
  return total;
}

t.test('the example of RFC 1071 section 3', async t => {
  t.equal(checksum.sum(viewOf(hex('0001f203f4f5f6f7')), 0, 8, 0), 0xddf2);
});

t.test('equal to the naive sum at every length 0..2100, from even and odd starts, with seeds', async t => {
  const random = seeded(t, 0x5eed0004);
  const memory = random.bytes(2200);
  // All ones makes every carry happen.
  const ones = new Uint8Array(2200).fill(0xff);
  let compared = 0;
  for (let length = 0; length <= 2100; length++) {
    for (const start of [0, 1, 2, 3]) {
      for (const bytes of [memory, ones]) {
        const seed = random.between(0, 0xffff);
        const got = checksum.sum(viewOf(bytes), start, length, seed);
        if (got !== naive(bytes.subarray(start, start + length), seed))
          t.fail(`length ${length}, start ${start}, seed ${seed}`);
        compared++;
      }
    }
  }
  t.equal(compared, 2101 * 8);
});

t.test('a range of 128 KiB of ones does not overflow', async t => {
  t.equal(checksum.sum(viewOf(new Uint8Array(131072).fill(0xff)), 0, 131072, 0xffff), 0xffff);
});

t.test('UDP sends a computed zero as all ones; ICMP and TCP send it as it is', async t => {
  t.equal(checksum.finishUdp(0xffff), 0xffff);
  t.equal(checksum.finish(0xffff), 0);
  t.equal(checksum.finishUdp(0x1234), 0xedcb);
});

t.test('the pseudo headers are those that one writes out', async t => {
  const random = seeded(t, 0x5eed0005);
  for (let round = 0; round < 500; round++) {
    const ip = random.bytes(60);
    const length = random.between(0, 70_000);
    const four = Uint8Array.of(...ip.subarray(12, 20), 0, 17, (length >> 8) & 0xff, length & 0xff);
    if (length <= 0xffff)
      assert.equal(checksum.pseudo4(viewOf(ip), 0, 17, length), naive(four), `IPv4, ${length}`);
    const words = [length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
    const six = Uint8Array.of(...ip.subarray(8, 40), ...words, 0, 0, 0, 58);
    assert.equal(checksum.pseudo6(viewOf(ip), 0, 58, length), naive(six), `IPv6, ${length}`);
  }
  t.pass('500 rounds');
});
