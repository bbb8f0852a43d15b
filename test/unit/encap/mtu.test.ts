import t from 'tap';
import { FORMATS } from '../../../encap/formats.ts';
import { innerMtu, overlayMtu } from '../../../encap/mtu.ts';

const { vxlan, udp } = FORMATS;

t.test('the usual underlays give the usual MTUs', async t => {
  t.equal(innerMtu(vxlan, 4, 1500), 1450);
  t.equal(innerMtu(vxlan, 6, 1500), 1430);
  t.equal(innerMtu(udp, 4, 1500), 1472);
  t.equal(innerMtu(udp, 6, 1500), 1452);
  t.equal(innerMtu(vxlan, 4, 9001), 8951);
  t.equal(innerMtu(vxlan, 4, 65536), 65485, 'a loopback MTU counts as the largest IP packet');
  t.equal(innerMtu(vxlan, 4, 20), 0, 'never below zero');
  for (const format of [vxlan, udp])
    for (const family of [4, 6] as const)
      t.equal(innerMtu(format, family, 1400 + format.overhead(family)), 1400);
});

t.test('what works is given, as asked or the largest', async t => {
  t.strictSame(overlayMtu(vxlan, 4, 1500, [4, 6]), { ok: true, mtu: 1450, warning: undefined });
  t.strictSame(overlayMtu(vxlan, 4, 1500, [4, 6], 1400), { ok: true, mtu: 1400, warning: undefined });
  t.strictSame(overlayMtu(vxlan, 6, 1350, [6]), { ok: true, mtu: 1280, warning: undefined });
  t.match(overlayMtu(udp, 4, 596, [4]), { ok: true, mtu: 568, warning: /568 is below 576/ });
  t.strictSame(overlayMtu(udp, 4, 96, [4]).ok, true);
});

t.test('what cannot work says why and what would', async t => {
  t.strictSame(overlayMtu(vxlan, 4, 1500, [4], 1480), {
    ok: false,
    problem: 'MTU 1480 does not fit an underlay MTU of 1500: vxlan over IPv4 adds 50 bytes',
    hint: 'the largest that fits is 1450',
  });
  t.strictSame(overlayMtu(vxlan, 6, 1349, [4, 6]), {
    ok: false,
    problem: 'MTU 1279 is below the 1280 bytes that IPv6 pods need',
    hint: 'vxlan over IPv6 adds 70 bytes, so the underlay needs an MTU of at least 1350',
  });
  t.strictSame(overlayMtu(vxlan, 4, 1500, [6], 1000), {
    ok: false,
    problem: 'MTU 1000 is below the 1280 bytes that IPv6 pods need',
    hint: 'set an MTU within 1280..1450',
  });
  t.strictSame(overlayMtu(udp, 6, 1279, [4]), {
    ok: false,
    problem: 'underlay MTU 1279 is below the 1280 bytes that IPv6 needs',
    hint: 'choose another underlay interface or raise its MTU',
  });
  t.equal(overlayMtu(udp, 4, 95, [4]).ok, false, '67 bytes are below what IPv4 needs');
  for (const bad of [Number.NaN, 1499.5, -1])
    t.equal(overlayMtu(udp, 4, bad, [4]).ok, false, `underlay ${bad}`);
  for (const bad of [Number.NaN, 1399.5, -1, 0])
    t.equal(overlayMtu(udp, 4, 1500, [4], bad).ok, false, `wanted ${bad}`);
});
