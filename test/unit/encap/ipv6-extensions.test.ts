import t from 'tap';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { seeded } from '../../fixtures/random.ts';

/** An IPv6 packet whose first next header is `first` and whose payload is `parts`, one after the other. */
function packet(first: number, ...parts: number[][]): Uint8Array {
  const payload = parts.flat();
  const bytes = new Uint8Array(40 + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, 0x60000000);
  view.setUint16(4, payload.length);
  view.setUint8(6, first);
  bytes.set(payload, 40);
  return bytes;
}

/** An extension header of `units` 8-byte units whose next header is `next`. */
const extension = (next: number, units = 1) => [next, units - 1, ...new Array(units * 8 - 2).fill(0)];
const fragment = (next: number, offset: number, more: boolean) => {
  const word = offset | (more ? 1 : 0);
  return [next, 0, word >> 8, word & 0xff, 0, 0, 0, 1];
};
const TCP = new Array(20).fill(0);

function walk(bytes: Uint8Array) {
  const view = viewOf(bytes);
  t.equal(ipv6.check(view, 0, bytes.length), 40, 'the packet passes check');
  const result = ipv6.upperLayer(view, 0);
  if (result < 0) return undefined;
  return {
    protocol: ipv6.upperProtocol(result),
    offset: ipv6.upperOffset(result),
    fragment: (result & ipv6.UPPER_FRAGMENT) !== 0,
    later: (result & ipv6.UPPER_LATER_FRAGMENT) !== 0,
  };
}

t.test('the walk ends at the upper header', async t => {
  const plain = { fragment: false, later: false };
  t.strictSame(walk(packet(6, TCP)), { protocol: 6, offset: 40, ...plain });
  t.strictSame(walk(packet(0, extension(6, 2), TCP)), { protocol: 6, offset: 56, ...plain });
  t.strictSame(walk(packet(60, extension(43), extension(60, 3), extension(17), TCP)), {
    protocol: 17,
    offset: 80,
    ...plain,
  });
  // AH counts its length in 4-byte units less two: 4 here are 24 bytes.
  t.strictSame(walk(packet(51, [6, 4, ...new Array(22).fill(0)], TCP)), {
    protocol: 6,
    offset: 64,
    ...plain,
  });
  // ESP hides what follows, no-next-header says that nothing does.
  t.strictSame(walk(packet(50, TCP)), { protocol: 50, offset: 40, ...plain });
  t.strictSame(walk(packet(59)), { protocol: 59, offset: 40, ...plain });
  for (const kind of [135, 139, 140])
    t.strictSame(walk(packet(kind, extension(6), TCP)), { protocol: 6, offset: 48, ...plain });
});

t.test('fragments: the first is walked on, a later one ends the walk at its data', async t => {
  t.strictSame(walk(packet(44, fragment(60, 0, true), extension(17), TCP)), {
    protocol: 17,
    offset: 56,
    fragment: true,
    later: false,
  });
  const later = packet(44, fragment(17, 1400, false), TCP);
  t.strictSame(walk(later), { protocol: 17, offset: 48, fragment: true, later: true });
  // Data that looks like an extension header is data.
  t.strictSame(walk(packet(44, fragment(60, 8, true), [0, 255, 0, 0, 0, 0, 0, 0])), {
    protocol: 60,
    offset: 48,
    fragment: true,
    later: true,
  });
});

t.test('what cannot be walked is refused', async t => {
  t.equal(walk(packet(0, [6, 0, 0, 0, 0, 0, 0])), undefined, 'header of 7 bytes');
  t.equal(walk(packet(60, extension(6, 2).slice(0, 12))), undefined, 'header longer than the payload');
  t.equal(walk(packet(60)), undefined, 'no header at all');
  t.equal(walk(packet(44, [6, 0, 0, 0])), undefined, 'half a fragment header');
  t.equal(walk(packet(60, extension(0), extension(6), TCP)), undefined, 'hop-by-hop not first');
  const long = (count: number) =>
    Array.from({ length: count }, (_, i) => extension(i === count - 1 ? 6 : 60));
  t.equal(walk(packet(60, ...long(8), TCP))?.offset, 104, 'eight headers are walked');
  t.equal(walk(packet(60, ...long(9), TCP)), undefined, 'nine are not');
});

t.test('random chains never lead out of the payload', async t => {
  const random = seeded(t, 0x5eed0007);
  let walked = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = random.bytes(40 + random.between(0, 120));
    const view = viewOf(bytes);
    view.setUint8(0, 0x60);
    view.setUint16(4, random.between(0, bytes.length - 40));
    const kinds = [0, 6, 17, 43, 44, 51, 58, 59, 60, 135, 139, 140];
    view.setUint8(6, random.pick(kinds));
    for (let at = 40; at + 8 < bytes.length; at += 8) {
      view.setUint8(at, random.pick(kinds));
      view.setUint8(at + 1, random.between(0, 2));
    }
    const result = ipv6.upperLayer(view, 0);
    if (result < 0) continue;
    walked++;
    if (ipv6.upperOffset(result) > 40 + view.getUint16(4)) t.fail(`round ${round}`);
  }
  t.ok(walked > 1000, `${walked} chains walked to their end`);
});
