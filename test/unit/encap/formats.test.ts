import t from 'tap';
import { BAD_FLAGS, OK, RUNT, WRONG_VNI } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import * as udp from '../../../encap/udp.ts';
import * as vxlan from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';

function datagram(network: number, frame = 14): DataView {
  const bytes = new Uint8Array(8 + frame);
  vxlan.write(viewOf(bytes), 0, network);
  return viewOf(bytes);
}

t.test('the formats say what flannel and Linux use', async t => {
  const { vxlan: v, udp: u } = FORMATS;
  t.strictSame([v.name, v.port, v.inner, v.headerBytes], ['vxlan', 8472, 'ethernet', 8]);
  t.strictSame([u.name, u.port, u.inner, u.headerBytes], ['udp', 8285, 'ip', 0]);
  t.strictSame([v.overhead(4), v.overhead(6), u.overhead(4), u.overhead(6)], [50, 70, 28, 48]);
  t.strictSame(v.header(1), Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0));
  t.strictSame(v.header(0xabcdef), Uint8Array.of(8, 0, 0, 0, 0xab, 0xcd, 0xef, 0));
  t.strictSame(u.header(1), new Uint8Array(0));
  for (const bad of [-1, 0x1000000, 1.5, Number.NaN]) t.throws(() => v.header(bad), RangeError, `VNI ${bad}`);
  t.ok(Object.isFrozen(FORMATS) && Object.isFrozen(v) && Object.isFrozen(u));
});

t.test('VXLAN: too short for its header and an Ethernet header is a runt', async t => {
  const view = datagram(1);
  for (let length = 0; length < 22; length++)
    t.equal(vxlan.check(new DataView(view.buffer, 0, length), 0, length, 1), RUNT, `${length} bytes`);
  t.equal(vxlan.check(view, 0, 22, 1), OK);
});

t.test('VXLAN: any bit but the I flag alone is refused', async t => {
  for (let bit = 0; bit < 64; bit++) {
    if (bit >= 32 && bit < 56) continue; // the network identifier
    const view = datagram(1);
    view.setUint8(bit >> 3, view.getUint8(bit >> 3) ^ (0x80 >> (bit & 7)));
    t.equal(vxlan.check(view, 0, 22, 1), BAD_FLAGS, `bit ${bit}`);
  }
});

t.test('VXLAN: every bit of the network identifier counts', async t => {
  for (const network of [0, 1, 0x800000, 0xffffff, 0x123456]) {
    t.equal(vxlan.check(datagram(network), 0, 22, network), OK);
    t.equal(vxlan.vni(datagram(network), 0), network);
    for (let bit = 0; bit < 24; bit++)
      t.equal(
        vxlan.check(datagram(network ^ (1 << bit)), 0, 22, network),
        WRONG_VNI,
        `${network}, bit ${bit}`,
      );
  }
});

t.test('VXLAN: a header is shown whatever it says', async t => {
  t.equal(vxlan.format(vxlan.parse(datagram(1), 0, 22)!), 'VXLAN, flags [I] (0x08), vni 1');
  const odd = viewOf(Uint8Array.of(0x88, 0x20, 0, 1, 0, 0, 2, 0x91));
  t.equal(vxlan.format(vxlan.parse(odd, 0, 8)!), 'VXLAN, flags [I] (0x88), vni 2, reserved 0x20000191');
  t.equal(vxlan.format(vxlan.parse(viewOf(new Uint8Array(8)), 0, 8)!), 'VXLAN, flags [.] (0x00), vni 0');
  t.equal(vxlan.parse(odd, 0, 7), undefined);
});

t.test('udp: room for an IPv4 header is all it asks', async t => {
  const view = new DataView(new ArrayBuffer(20));
  for (let length = 0; length < 20; length++) t.equal(udp.check(view, 0, length, 1), RUNT, `${length} bytes`);
  t.equal(udp.check(view, 0, 20, 1), OK);
});
