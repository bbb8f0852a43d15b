import assert from 'node:assert/strict';
import t from 'tap';
import { emit as emitIpv4, type Ipv4 } from '../../../encap/wire/ipv4.ts';
import { seeded } from '../../fixtures/random.ts';
import { HEADERS } from './fixtures/headers.ts';

const ROUNDS = 300;

for (const header of HEADERS) {
  t.test(`${header.name}: what is emitted is parsed again, at any offset, in shared memory too`, async t => {
    const random = seeded(t, 0x5eed0001);
    for (let round = 0; round < ROUNDS; round++) {
      const memory = round % 2 === 0 ? new ArrayBuffer(128) : new SharedArrayBuffer(128);
      const off = random.between(0, 3);
      const { value, bytes } = header.emit(random, new DataView(memory), off);
      const length = bytes + (header.trailing ?? 0);
      // A view that ends with the header: a read beyond it throws.
      const view = new DataView(memory, 0, off + length);
      const again = header.parse(view, off, length);
      assert.deepEqual({ round, value: again }, { round, value });
      if (header.check) assert.equal(header.check(view, off, length), bytes, `round ${round}`);
      const line = header.format?.(value as never) ?? 'none';
      assert.doesNotMatch(line, /^$|undefined|NaN/);
    }
    t.pass(`${ROUNDS} rounds`);
  });

  t.test(`${header.name}: cut short at every length it is refused and nothing beyond is read`, async t => {
    const random = seeded(t, 0x5eed0002);
    for (let round = 0; round < 20; round++) {
      const memory = new ArrayBuffer(128);
      const { bytes } = header.emit(random, new DataView(memory), 0);
      const length = bytes + (header.trailing ?? 0);
      for (let cut = 0; cut < length; cut++) {
        const view = new DataView(memory, 0, cut);
        if (header.check) assert.equal(header.check(view, 0, cut), 0, `check of ${cut} of ${length} bytes`);
        assert.equal(header.parse(view, 0, cut), undefined, `parse of ${cut} of ${length} bytes`);
      }
    }
    t.pass('20 headers');
  });
}

t.test('emit, values that do not fit the header: refused', async t => {
  const view = new DataView(new ArrayBuffer(128));
  const ip: Ipv4 = {
    tos: 0,
    totalLength: 20,
    identification: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 64,
    protocol: 6,
    source: Uint8Array.of(10, 0, 0, 1),
    destination: Uint8Array.of(10, 0, 0, 2),
    options: new Uint8Array(0),
  };
  t.throws(() => emitIpv4(view, 0, { ...ip, options: new Uint8Array(3) }), RangeError);
  t.throws(() => emitIpv4(view, 0, { ...ip, options: new Uint8Array(44) }), RangeError);
  t.throws(() => emitIpv4(view, 0, { ...ip, source: new Uint8Array(16) }), RangeError);
});
