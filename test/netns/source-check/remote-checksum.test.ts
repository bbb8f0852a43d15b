import t from 'tap';
import { peerFor, podAddress, VNI, vtepMac } from '../../fixtures/agents/overlay.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { type Gate, gateFor, judged, seen } from '../../fixtures/traffic/source-check.ts';

/*
 * A peer with remote checksum offload says where the kernel shall write a checksum. That is a pen in a stranger's hand: it
 * may write behind the IP header of its packet and nowhere else, least of all over the source address that was judged.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip');
const RCO = 0x20;

/** The datagram with a partial checksum: start in units of two bytes from the frame, and whether UDP's field. */
function open(datagram: Uint8Array, start: number, udp: boolean): Uint8Array {
  return wire.put(wire.put(datagram, 1, RCO), 7, start | (udp ? 0x80 : 0));
}

async function expectVerdict(gate: Gate, datagrams: Uint8Array[]) {
  const before = seen(gate);
  const result = await judged(gate, datagrams.length, () => gate.fromPeer.fire(datagrams));
  return { result, written: seen(gate) - before };
}

t.test('a checksum may be left open behind the IP header alone', { skip }, async t => {
  const gate = await gateFor(t, { mode: 'vxlan' });
  const { ours, peer, other, plane } = gate;
  const frame = (packet: Uint8Array, type = wire.etherType(packet), ...tags: number[]) =>
    wire.vxlan(VNI, wire.ethernet(vtepMac(ours), vtepMac(peer), type, packet, ...tags));
  const segment = (family: 4 | 6) =>
    wire.tcp(podAddress(peer, family), podAddress(ours, family), {
      sequence: 1,
      payload: new Uint8Array(20),
      checksum: 'unfinished',
    });
  const starts = [...Array(128).keys()];
  const both = (datagram: Uint8Array, which: readonly number[]) =>
    [false, true].flatMap(udp => which.map(start => open(datagram, start, udp)));

  const uninvited = await expectVerdict(gate, [open(frame(segment(4)), 17, false)]);
  t.same(uninvited, { result: { 'bad-flags': 1 }, written: 0 }, 'a peer that has not agreed may not at all');

  plane.setPeers([{ ...peerFor(peer, {}), remoteChecksum: true }, peerFor(other, {})]);
  for (const [family, tags] of [
    [4, []],
    [4, [7]],
    [6, []],
    [6, [7, 8]],
  ] as [4 | 6, number[]][]) {
    const packet = segment(family);
    const datagram = frame(packet, wire.etherType(packet), ...tags);
    const l4 = (14 + tags.length * 4 + (family === 4 ? 20 : 40)) / 2;
    const name = `IPv${family}, ${tags.length} VLAN tags`;
    const right = await expectVerdict(gate, [open(datagram, l4, false)]);
    t.same(right, { result: { forward: 1 }, written: 1 }, `${name}: where TCP begins`);
    // Behind an IPv6 header there may be extensions, so any place up to the packet's end is one.
    const wrong = starts.filter(start => (family === 4 ? start !== l4 : start < l4));
    const bad = both(datagram, wrong);
    t.same(
      await expectVerdict(gate, bad),
      { result: { 'bad-flags': bad.length }, written: 0 },
      `${name}: anywhere else, ${bad.length} ways`,
    );
    const beyond = both(
      datagram,
      starts.filter(start => start * 2 > datagram.length - 8 - 8),
    );
    const end = await expectVerdict(gate, beyond);
    t.same(end, { result: { 'bad-flags': beyond.length }, written: 0 }, `${name}: beyond the packet`);
    const padded = wire.join(datagram, new Uint8Array(300));
    const padding = both(
      padded,
      starts.filter(start => start * 2 > datagram.length - 8 - 8),
    );
    const outside = await expectVerdict(gate, padding);
    t.same(
      outside,
      { result: { 'bad-flags': padding.length }, written: 0 },
      `${name}: in the padding behind it`,
    );
  }
  const arp = frame(wire.arp(2, vtepMac(peer), peer.tunnel[4], ours.tunnel[4]), 0x0806);
  const asked = await expectVerdict(gate, both(arp, [7, 8, 9]));
  t.same(asked, { result: { 'bad-flags': 6 }, written: 0 }, 'ARP has no checksum to leave open');
  t.equal(plane.counters().restarts, 0);
});
