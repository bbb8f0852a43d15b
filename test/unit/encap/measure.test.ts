import t from 'tap';
import * as measure from '../../../encap/wire/measure.ts';
import { seeded } from '../../fixtures/random.ts';
import { hex } from '../../vectors/hex.ts';

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Magic, version 1 that asks, flow 9, stream 7, nonce 0x0a0b0c, sequence 0x01020304, time 0x0203_04050607. */
const PACKET = hex('5273 11 09 07 0a0b0c 01020304 020304050607');
const ANSWER = hex('5273 12 09 07 0a0b0c 01020304 020304050607 0000ffffffff 100000000000');

t.test('a packet, byte for byte', async t => {
  const bytes = new Uint8Array(measure.BYTES);
  const view = viewOf(bytes);
  measure.emit(view, 0, measure.keyOf(7, 0x0a0b0c));
  measure.stamp(view, 0, measure.FLAG_ASK, 9, 0x01020304, 0x020304050607);
  t.same(bytes, PACKET);
  t.equal(measure.check(view, 0, 18), 18);
  t.equal(measure.flags(view, 0), measure.FLAG_ASK);
  t.equal(measure.flow(view, 0), 9);
  t.equal(measure.streamKey(view, 0), measure.keyOf(7, 0x0a0b0c));
  t.equal(measure.sequence(view, 0), 0x01020304);
  t.equal(measure.time(view, 0), 0x020304050607);
});

t.test('an answer, byte for byte', async t => {
  const bytes = new Uint8Array(measure.ANSWER_BYTES);
  bytes.set(PACKET);
  const view = viewOf(bytes);
  measure.answer(view, 0, 0xffffffff, 0x100000000000);
  t.same(bytes, ANSWER);
  t.equal(measure.check(view, 0, 30), 30);
  t.equal(measure.receivedTime(view, 0), 0xffffffff);
  t.equal(measure.answeredTime(view, 0), 0x100000000000);
});

t.test('anything but a header of this version is refused, at any length', async t => {
  const view = viewOf(ANSWER);
  for (let length = 0; length < 30; length++)
    t.equal(measure.check(view, 0, length), 0, `answer of ${length}`);
  for (let length = 0; length < 18; length++) t.equal(measure.check(viewOf(PACKET), 0, length), 0);
  const random = seeded(t);
  for (let round = 0; round < 1000; round++) {
    const changed = PACKET.slice();
    const at = random.below(3);
    changed[at]! ^= 1 << (at === 2 ? 4 + random.below(4) : random.below(8));
    t.equal(measure.check(viewOf(changed), 0, 18), 0);
  }
});

t.test('all numbers survive, and times across the end of their period', async t => {
  const random = seeded(t);
  const view = viewOf(new Uint8Array(64));
  for (let round = 0; round < 2000; round++) {
    const off = random.below(30);
    const key = random.uint32();
    const time = random.below(65_536) * 2 ** 32 + random.uint32();
    const sequence = random.uint32();
    measure.emit(view, off, key);
    measure.stamp(view, off, 4, 255, sequence, time);
    t.same(
      [
        measure.streamKey(view, off),
        measure.sequence(view, off),
        measure.time(view, off),
        measure.flags(view, off),
      ],
      [key, sequence, time, 4],
    );
    const later = random.below(1000) * 1e6 - 5e8;
    t.equal(measure.elapsed(time, measure.wrapped(time + later)), later);
  }
});
