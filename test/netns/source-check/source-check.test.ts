import t from 'tap';
import { podAddress, VNI, vtepMac } from '../../fixtures/agents/overlay.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { type Gate, gateFor, judged, type Owner, seen } from '../../fixtures/traffic/source-check.ts';

/*
 * Each bad datagram must end under exactly one verdict, the device must see those that pass and no other, and good traffic
 * must pass afterwards.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip');
interface Case {
  name: string;
  verdict: string;
  datagrams: Uint8Array[];
  stranger?: boolean;
}

/** Fires each case and compares; then a good datagram of each family must still come through. */
async function judgeAll(t: Owner, gate: Gate, cases: Case[], good: Uint8Array[]) {
  for (const { name, verdict, datagrams, stranger } of cases) {
    const gun = stranger ? gate.fromStranger : gate.fromPeer;
    const before = seen(gate);
    const result = await judged(gate, datagrams.length, () => gun.fire(datagrams));
    t.same(result, { [verdict]: datagrams.length }, `${name}: ${datagrams.length} x ${verdict}`);
    t.equal(seen(gate) - before, verdict === 'forward' ? datagrams.length : 0, `${name}: the device`);
  }
  const before = seen(gate);
  t.same(await judged(gate, good.length, () => gate.fromPeer.fire(good)), { forward: good.length });
  t.equal(seen(gate) - before, good.length, 'good traffic passes afterwards');
  t.equal(gate.plane.counters().restarts, 0, 'no worker has restarted');
}

/** The lies that an IP header can tell, each on an otherwise good packet. */
function spoofedFrames(four: Uint8Array, six: Uint8Array): Uint8Array[] {
  const version = (packet: Uint8Array, value: number) =>
    wire.put(packet, 0, (value << 4) | (packet[0]! & 15));
  const versions = [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15];
  return [
    ...versions.map(value => version(four, value)),
    ...versions.map(value => version(six, value)),
    version(four, 6), // then bytes 4 and 5, the IPv4 identifier, are a payload length: made to lie below
    ...[0, 1, 2, 3, 4].map(ihl => wire.put(four, 0, 0x40 | ihl)),
    wire.put(wire.put(four, 0, 0x4f), 2, 0, 59), // header of 60 in a packet of 59
    wire.put(four, 2, 0, 0),
    wire.put(four, 2, 0, 19),
    wire.put(four, 2, (four.length + 1) >> 8, (four.length + 1) & 255),
    wire.put(four, 2, 0xff, 0xff),
    wire.put(six, 4, (six.length - 39) >> 8, (six.length - 39) & 255),
    wire.put(six, 4, 0xff, 0xff),
  ].map((packet, i) => (i === 2 * versions.length ? wire.put(packet, 4, 0xff, 0xff) : packet));
}

const upTo = (bytes: Uint8Array, from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => bytes.slice(0, from + i));

t.test('vxlan: each bad datagram ends under its own verdict', { skip }, async t => {
  const gate = await gateFor(t, { mode: 'vxlan' });
  const { ours, peer, other } = gate;
  const [to, from, third] = [ours, peer, other].map(vtepMac) as [string, string, string];
  const packet = (source: string, destination = podAddress(ours, wire.isIpv6(source) ? 6 : 4)) =>
    wire.echoReply(source, destination);
  const frame = (payload: Uint8Array, ...tags: number[]) =>
    wire.ethernet(to, from, wire.etherType(payload), payload, ...tags);
  const wrap = (payload: Uint8Array, ...tags: number[]) => wire.vxlan(VNI, frame(payload, ...tags));
  const [four, six] = [packet(podAddress(peer, 4)), packet(podAddress(peer, 6))];
  const [good4, good6] = [wrap(four), wrap(six)];
  const typed = (type: number, payload: Uint8Array) =>
    wire.vxlan(VNI, wire.ethernet(to, from, type, payload));
  const addressed = (mac: string, source = from) =>
    wire.vxlan(VNI, wire.ethernet(mac, source, wire.etherType(four), four));
  const tooLarge = (bytes: number) => [
    wrap(wire.echoReply(podAddress(peer, 4), podAddress(ours, 4), bytes - 28)),
    wrap(wire.echoReply(podAddress(peer, 6), podAddress(ours, 6), bytes - 48)),
  ];
  const spoofed = [
    podAddress(other, 4), // another peer's
    podAddress(ours, 4),
    '127.0.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '8.8.8.8',
    podAddress(other, 6),
    podAddress(ours, 6),
    '::1',
    '::',
    'fe80::1',
    '2001:db8::1',
  ].map(source => wrap(packet(source)));
  const reply = (mac: string, sender: string) => wire.arp(2, mac, sender, ours.tunnel[4]);
  const genuine = reply(from, peer.tunnel[4]);

  await judgeAll(
    t,
    gate,
    [
      { name: 'a good one', verdict: 'forward', datagrams: [good4, good6] },
      { name: 'one and two VLAN tags', verdict: 'forward', datagrams: [wrap(four, 7), wrap(six, 7, 8)] },
      {
        name: 'padding behind the packet',
        verdict: 'forward',
        datagrams: [wire.join(good4, new Uint8Array(9))],
      },
      { name: 'exactly the MTU', verdict: 'forward', datagrams: tooLarge(1450) },
      { name: 'ARP of the peer', verdict: 'forward', datagrams: [typed(0x0806, genuine)] },
      {
        name: 'a stranger',
        verdict: 'unknown-peer',
        datagrams: [good4, good6, good4.slice(0, 3)],
        stranger: true,
      },
      {
        name: 'each bit of the VNI wrong',
        verdict: 'wrong-vni',
        datagrams: Array.from({ length: 24 }, (_, bit) => wire.flip(good4, 32 + bit)),
      },
      {
        name: 'each flag and reserved bit wrong',
        verdict: 'bad-flags',
        datagrams: [...Array(32).keys(), ...Array(8).keys()].map((bit, i) =>
          wire.flip(good4, i < 32 ? bit : 56 + bit),
        ),
      },
      { name: 'every length below the headers', verdict: 'runt', datagrams: upTo(good4, 0, 22) },
      {
        name: 'every length that cuts the inner packet',
        verdict: 'inner-malformed',
        datagrams: [...upTo(good4, 22, good4.length), ...upTo(good6, 22, good6.length)],
      },
      {
        name: 'cut within VLAN tags',
        verdict: 'inner-malformed',
        datagrams: upTo(wrap(four, 7, 8), 22, 22 + 8 + 20),
      },
      { name: 'three VLAN tags', verdict: 'inner-malformed', datagrams: [wrap(four, 7, 8, 9)] },
      {
        name: 'headers that lie',
        verdict: 'inner-malformed',
        datagrams: spoofedFrames(four, six).map(lie => typed(wire.etherType(lie), lie)),
      },
      {
        name: 'type and version disagree',
        verdict: 'inner-malformed',
        datagrams: [typed(0x86dd, four), typed(0x0800, six)],
      },
      {
        name: 'neither IP nor ARP',
        verdict: 'inner-malformed',
        datagrams: [0, 1500, 0x88cc, 0x8847, 0x8864, 0xffff].map(type => typed(type, four)),
      },
      {
        name: 'ARP that is none',
        verdict: 'inner-malformed',
        datagrams: [...upTo(genuine, 0, 28), ...[0, 1, 2, 3, 4, 5].map(at => wire.put(genuine, at, 9))].map(
          bytes => typed(0x0806, bytes),
        ),
      },
      {
        name: 'ARP in the name of another',
        verdict: 'spoofed-source',
        datagrams: [other.tunnel[4], ours.tunnel[4]].map(sender => typed(0x0806, reply(from, sender))),
      },
      { name: 'inner source of another', verdict: 'spoofed-source', datagrams: spoofed },
      {
        name: 'inner source MAC of another',
        verdict: 'spoofed-source',
        datagrams: [third, to, '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'].map(mac => addressed(to, mac)),
      },
      {
        name: 'another MAC than ours',
        verdict: 'not-for-us',
        datagrams: [0, 1, 2, 3, 4, 5].map(byte => wire.flip(good4, 64 + byte * 8 + 2)),
      },
      {
        name: 'broadcast and multicast',
        verdict: 'multicast',
        datagrams: ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '33:33:00:00:00:01'].map(mac => addressed(mac)),
      },
      {
        name: 'larger than the device takes',
        verdict: 'oversized',
        datagrams: [1451, 1500, 9000, 65_507 - 22].flatMap(tooLarge),
      },
    ],
    [good4, good6],
  );
});

t.test('udp: each bad datagram ends under its own verdict', { skip }, async t => {
  const gate = await gateFor(t, { mode: 'udp' });
  const { ours, peer, other } = gate;
  const packet = (source: string, bytes = 32) =>
    wire.echoReply(source, podAddress(ours, wire.isIpv6(source) ? 6 : 4), bytes);
  const [four, six] = [packet(podAddress(peer, 4)), packet(podAddress(peer, 6))];
  await judgeAll(
    t,
    gate,
    [
      { name: 'a good one', verdict: 'forward', datagrams: [four, six] },
      { name: 'a stranger', verdict: 'unknown-peer', datagrams: [four, six], stranger: true },
      { name: 'every length below a header', verdict: 'runt', datagrams: upTo(four, 0, 20) },
      {
        name: 'every length that cuts the packet',
        verdict: 'inner-malformed',
        datagrams: [...upTo(four, 20, four.length), ...upTo(six, 20, six.length)],
      },
      { name: 'headers that lie', verdict: 'inner-malformed', datagrams: spoofedFrames(four, six) },
      {
        name: 'inner source of another',
        verdict: 'spoofed-source',
        datagrams: [podAddress(other, 4), podAddress(ours, 4), podAddress(other, 6), 'fe80::1'].map(source =>
          packet(source),
        ),
      },
      {
        name: 'larger than the device takes',
        verdict: 'oversized',
        datagrams: [packet(podAddress(peer, 4), 1473 - 28), packet(podAddress(peer, 6), 60_000)],
      },
    ],
    [four, six],
  );
});
