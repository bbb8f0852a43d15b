import t from 'tap';
import { CE, decapsulate, ECT_0, ECT_1, ILLEGAL, NOT_ECT, setEcn, trafficClass } from '../../../encap/ecn.ts';
import { Random } from '../../fixtures/random.ts';
import { sum } from '../../fixtures/traffic/datagrams.ts';

/** Figure 4 of RFC 6040: [inner, outer, result]; a result of -1 is a drop. */
const FIGURE_4 = [
  ...[NOT_ECT, ECT_0, ECT_1].map(outer => [NOT_ECT, outer, NOT_ECT] as const),
  [NOT_ECT, CE, -1],
  ...[NOT_ECT, ECT_0].map(outer => [ECT_0, outer, ECT_0] as const),
  ...[ECT_1, CE].map(outer => [ECT_0, outer, outer] as const),
  ...[NOT_ECT, ECT_0, ECT_1].map(outer => [ECT_1, outer, ECT_1] as const),
  [ECT_1, CE, CE],
  ...[NOT_ECT, ECT_0, ECT_1, CE].map(outer => [CE, outer, CE] as const),
] as const;

/** A header of random content with the traffic class, at an odd offset, with bytes around it. */
function headerOf(random: Random, version: 4 | 6, value: number): { view: DataView; bytes: Uint8Array } {
  const bytes = random.bytes(80);
  const ip = bytes.subarray(3);
  if (version === 6) {
    ip[0] = 0x60 | (value >> 4);
    ip[1] = ((value & 15) << 4) | (ip[1]! & 15);
  } else {
    ip[0] = 0x45;
    ip[1] = value;
    ip.set([0, 0], 10);
    const checksum = ~sum(ip.subarray(0, 20)) & 0xffff;
    ip.set([checksum >> 8, checksum & 255], 10);
  }
  return { view: new DataView(bytes.buffer, bytes.byteOffset), bytes };
}

t.test('decapsulation follows figure 4 of RFC 6040, bit for bit', async t => {
  t.equal(FIGURE_4.length, 16);
  const random = new Random(0x6040);
  t.comment(`seed ${random.seed}`);
  for (const version of [4, 6] as const)
    for (const [inner, outer, result] of FIGURE_4)
      for (let round = 0; round < 200; round++) {
        const dscp = random.between(0, 63) << 2;
        const { view, bytes } = headerOf(random, version, dscp | inner);
        const before = bytes.slice();
        const got = decapsulate(view, 3, outer);
        const isChanged = result !== -1 && result !== inner;
        if (got !== (result === -1 ? ILLEGAL : isChanged ? inner : NOT_ECT))
          t.fail(`IPv${version} ${inner} ${outer}: ${got}`);
        const wanted = result === -1 ? inner : result;
        if (trafficClass(view, 3) !== (dscp | wanted)) t.fail(`IPv${version} ${inner} ${outer}: wrong class`);
        if (version === 4 && sum(bytes.subarray(3, 23)) !== 0xffff)
          t.fail(`${inner} ${outer}: wrong checksum`);
        // Nothing else moves, and what was there comes back.
        if (isChanged) setEcn(view, 3, inner);
        if (Buffer.compare(bytes, before) !== 0)
          t.fail(`IPv${version} ${inner} ${outer}: other bytes changed`);
      }
  t.pass('6,400 headers');
});

t.test('a wrong header checksum stays wrong', async t => {
  const random = new Random(0x1624);
  for (let round = 0; round < 500; round++) {
    const { view, bytes } = headerOf(random, 4, ECT_0);
    view.setUint16(13, view.getUint16(13) ^ (1 << random.between(0, 15)));
    decapsulate(view, 3, CE);
    if (sum(bytes.subarray(3, 23)) === 0xffff) t.fail('the fault is hidden');
  }
  t.pass('500 headers');
});

t.test('a frame that is not IP passes whatever the outer mark is', async t => {
  const arp = new DataView(Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1, ...Array(20).fill(0)).buffer);
  for (const outer of [NOT_ECT, ECT_0, ECT_1, CE]) t.equal(decapsulate(arp, 0, outer), NOT_ECT);
  t.equal(arp.getUint32(0), 0x00010800);
});
