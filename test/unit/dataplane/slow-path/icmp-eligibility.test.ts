import t from 'tap';
import { viewOf } from '../../../../encap/wire/addresses.ts';
import { mayTriggerIcmpError } from '../../../../src/dataplane/slow-path/icmp-eligibility.ts';
import { packet4, packet6 } from './fixtures/packets.ts';

const UDP = new Uint8Array(16);
const icmp = (type: number) => Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0);

const may = (packet: Uint8Array, isTooBig = false) =>
  mayTriggerIcmpError(viewOf(packet), 0, packet.length, isTooBig);

t.test('IPv4: an ordinary packet is answered', async t => {
  t.ok(may(packet4(UDP)));
  t.ok(may(packet4(new Uint8Array(0), { protocol: 255 })), 'an unknown protocol without payload');
  t.ok(may(packet4(UDP, { moreFragments: true })), 'a first fragment');
  t.ok(may(packet4(UDP, { options: new Uint8Array(40) })), 'with options');
});

t.test('IPv4: not to an ICMP error, nor to an unknown type (RFC 1122 3.2.2)', async t => {
  const answered = [];
  for (let type = 0; type < 256; type++) if (may(packet4(icmp(type), { protocol: 1 }))) answered.push(type);
  t.strictSame(answered, [0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43]);
  t.notOk(may(packet4(new Uint8Array(0), { protocol: 1 })), 'ICMP without a type');
});

t.test('IPv4: never to a broadcast, a group, a later fragment or a broken header', async t => {
  t.notOk(may(packet4(UDP, { fragmentOffset: 8 })), 'later fragment');
  for (const destination of [
    '255.255.255.255',
    '224.0.0.1',
    '239.255.0.1',
    '240.0.0.1',
    '127.0.0.1',
    '0.0.0.0',
  ])
    t.notOk(may(packet4(UDP, { destination })), `to ${destination}`);
  for (const source of ['255.255.255.255', '224.0.0.1', '240.0.0.1', '127.0.0.1', '0.0.0.0', '0.1.2.3'])
    t.notOk(may(packet4(UDP, { source })), `from ${source}`);
  t.notOk(may(packet4(UDP, { totalLength: 100 })), 'total length lies');
  const spoiled = packet4(UDP);
  spoiled[8]!--;
  t.notOk(may(spoiled), 'header checksum');
});

t.test('IPv4 and IPv6: cut at every length, only the whole packet is answered', async t => {
  const whole4 = packet4(icmp(8), { protocol: 1 });
  const whole6 = packet6(icmp(128), { nextHeader: 58 });
  for (let cut = 0; cut <= whole4.length; cut++)
    t.equal(may(whole4.slice(0, cut)), cut === whole4.length, `IPv4, ${cut}`);
  for (let cut = 0; cut <= whole6.length; cut++)
    t.equal(may(whole6.slice(0, cut)), cut === whole6.length, `IPv6, ${cut}`);
});

t.test('IPv6: ordinary packets are answered, errors and redirects never (RFC 4443 2.4 e)', async t => {
  t.ok(may(packet6(UDP)));
  t.ok(may(packet6(new Uint8Array(0), { nextHeader: 59 })));
  for (let type = 0; type < 256; type++)
    t.equal(may(packet6(icmp(type), { nextHeader: 58 })), type >= 128 && type !== 137, `type ${type}`);
  t.notOk(may(packet6(new Uint8Array(0), { nextHeader: 58 })), 'ICMPv6 without a type');
  const behind = Uint8Array.of(58, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
  t.notOk(may(packet6(behind, { nextHeader: 60 })), 'an error behind an extension header');
  t.notOk(may(packet6(Uint8Array.of(17, 0, 0, 8, 0, 0, 0, 1), { nextHeader: 44 })), 'later fragment');
  t.ok(may(packet6(Uint8Array.of(17, 0, 0, 1, 0, 0, 0, 1), { nextHeader: 44 })), 'first fragment');
});

t.test('IPv6: groups are answered with packet-too-big alone, sources without a node never', async t => {
  t.notOk(may(packet6(UDP, { destination: 'ff02::1' })));
  t.ok(may(packet6(UDP, { destination: 'ff0e::1' }), true));
  for (const source of ['::', '::1', '::ffff:10.0.0.1', '::10.0.0.1', 'ff02::1', 'fe80::1', 'febf::1'])
    for (const tooBig of [false, true]) t.notOk(may(packet6(UDP, { source }), tooBig), `from ${source}`);
  for (const source of ['fec0::1', '2001:db8::1', '1::', '0:0:1::', '0:0:0:1::'])
    t.ok(may(packet6(UDP, { source })), `from ${source}`);
});
