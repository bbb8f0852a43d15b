import assert from 'node:assert/strict';
import t from 'tap';
import { packetCount, segmentGso } from '../../../../src/capture/decode/segments.ts';
import { seeded } from '../../../fixtures/random.ts';
import { type Ends, ethernet, ip, joined, sum16, tcp, udp, V4, V6 } from '../fixtures/frames.ts';

const TCP4 = 1;
const TCP6 = 4;
const UDP_L4 = 5;
const ECN = 0x80;

/** A GSO packet as a TAP hands it over: checksum field holds the pseudo-header sum, lengths cover all of it. */
function gsoPacket(ends: Ends, kind: 'tcp' | 'udp', payload: Uint8Array, flags = 0x18, tags: number[] = []) {
  const l4 =
    kind === 'tcp'
      ? tcp({ from: 1000, to: 80, sequence: 0xfffffff0, flags }, payload, ends)
      : udp(1000, 443, payload, ends);
  const frame = ethernet(ip(ends, kind === 'tcp' ? 6 : 17, l4, 0xfffe), tags);
  const csumStart = 14 + tags.length * 4 + (ends === V4 ? 20 : 40);
  const csumOffset = kind === 'tcp' ? 16 : 6;
  frame[csumStart + csumOffset] = 0xab;
  frame[csumStart + csumOffset + 1] = 0xcd;
  return { frame, csumStart, csumOffset };
}

/** True when the IPv4 header and the TCP or UDP checksum of the packet hold, by a loop of this test's own. */
function isSound(frame: Uint8Array, l3: number): boolean {
  const packet = frame.subarray(l3);
  const four = packet[0]! >> 4 === 4;
  const header = four ? 20 : 40;
  const length = four ? (packet[2]! << 8) | packet[3]! : 40 + ((packet[4]! << 8) | packet[5]!);
  const addresses = four ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const l4 = packet.subarray(header);
  const pseudo = joined(addresses, [
    0,
    0,
    l4.length >> 8,
    l4.length & 255,
    0,
    0,
    0,
    four ? packet[9]! : packet[6]!,
  ]);
  return (
    length === packet.length &&
    (!four || sum16(packet.subarray(0, 20)) === 0xffff) &&
    sum16(l4, sum16(pseudo)) === 0xffff
  );
}

const word = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;

t.test('TCP: lengths, sequence, identification, flags, checksums; the payload comes through', async t => {
  const random = seeded(t, 71);
  for (let round = 0; round < 60; round++) {
    const ends = random.pick([V4, V6]);
    const tags = random.pick([[], [7], [7, 8]]);
    const gsoSize = random.between(1, 400);
    const payload = random.bytes(random.between(gsoSize, 3000));
    const { frame, csumStart, csumOffset } = gsoPacket(ends, 'tcp', payload, 0x80 | 0x19, tags);
    const offload = {
      flags: 1,
      gsoType: (ends === V4 ? TCP4 : TCP6) | (round & 1 ? ECN : 0),
      gsoSize,
      csumStart,
      csumOffset,
    };
    const whole = { bytes: frame, length: frame.length };
    const segments = segmentGso(whole, offload, 'ethernet');
    const l3 = 14 + tags.length * 4;
    const data = csumStart + 32;
    assert.equal(segments.length, Math.ceil(payload.length / gsoSize));
    assert.equal(packetCount(whole, offload, 'ethernet'), segments.length);
    assert.deepEqual(joined(...segments.map(segment => segment.bytes.subarray(data))), payload);
    for (const [i, { bytes, length }] of segments.entries()) {
      assert.equal(bytes.length, length);
      assert.ok(isSound(bytes, l3), `segment ${i} of ${segments.length}`);
      const sequence = (word(bytes, csumStart + 4) * 65536 + word(bytes, csumStart + 6)) >>> 0;
      assert.equal(sequence, (0xfffffff0 + i * gsoSize) >>> 0);
      if (ends === V4) assert.equal(word(bytes, l3 + 4), (0xfffe + i) & 0xffff);
      const last = i === segments.length - 1;
      assert.equal(bytes[csumStart + 13], (i === 0 ? 0x80 : 0) | 0x10 | (last ? 0x09 : 0));
    }
  }
  t.pass('60 rounds');
});

t.test('UDP: each datagram with its own length and checksum', async t => {
  const random = seeded(t, 72);
  for (const ends of [V4, V6]) {
    const payload = random.bytes(2900);
    const { frame, csumStart, csumOffset } = gsoPacket(ends, 'udp', payload);
    const bare = frame.subarray(14);
    const offload = { flags: 1, gsoType: UDP_L4, gsoSize: 1000, csumStart: csumStart - 14, csumOffset };
    const segments = segmentGso({ bytes: bare, length: bare.length }, offload, 'ip');
    t.strictSame(
      segments.map(({ bytes }) => word(bytes, csumStart - 14 + 4)),
      [1008, 1008, 908],
    );
    t.ok(segments.every(({ bytes }) => isSound(bytes, 0)));
    t.strictSame(joined(...segments.map(({ bytes }) => bytes.subarray(csumStart - 14 + 8))), payload);
  }
});

t.test('a single packet gets the checksum that was left open', async t => {
  const payload = Uint8Array.of(1, 2, 3);
  for (const kind of ['tcp', 'udp'] as const) {
    const { frame, csumStart, csumOffset } = gsoPacket(V4, kind, payload);
    const l4Bytes = frame.length - csumStart;
    const pseudo = sum16(joined(V4.source, V4.target, [0, kind === 'tcp' ? 6 : 17, 0, l4Bytes]));
    frame.set([pseudo >> 8, pseudo & 255], csumStart + csumOffset);
    const offload = { flags: 1, gsoType: 0, gsoSize: 0, csumStart, csumOffset };
    const [packet] = segmentGso({ bytes: frame, length: frame.length }, offload, 'ethernet');
    t.ok(isSound(packet!.bytes, 14), kind);
    t.notOk(isSound(frame, 14), 'the record itself is left alone');
  }
});

t.test('cut by the snap length: every packet is there, with as many bytes as there are', async t => {
  const { frame, csumStart, csumOffset } = gsoPacket(V4, 'tcp', new Uint8Array(2500).fill(7));
  const offload = { flags: 1, gsoType: TCP4, gsoSize: 1000, csumStart, csumOffset };
  const cut = { bytes: frame.subarray(0, 66 + 1200), length: frame.length };
  const segments = segmentGso(cut, offload, 'ethernet');
  t.strictSame(
    segments.map(({ bytes, length }) => [bytes.length, length]),
    [
      [1066, 1066],
      [266, 1066],
      [66, 566],
    ],
  );
  t.ok(isSound(segments[0]!.bytes, 14), 'the one that is whole has its checksum');
  t.equal(word(segments[2]!.bytes, 16), 552);
  const headless = { bytes: frame.subarray(0, 60), length: frame.length };
  t.strictSame(segmentGso(headless, offload, 'ethernet'), [headless], 'cut inside the headers: as it is');
});

t.test('hostile headers and offloads: one packet, as it is, and no exception', async t => {
  const random = seeded(t, 73);
  const { frame } = gsoPacket(V4, 'tcp', new Uint8Array(300));
  for (let round = 0; round < 3000; round++) {
    const bytes = frame.slice(0, random.between(0, frame.length));
    for (let flips = random.between(0, 6); flips > 0 && bytes.length > 0; flips--)
      bytes[random.between(0, Math.min(60, bytes.length) - 1)] = random.between(0, 255);
    const offload = {
      flags: random.between(0, 3),
      gsoType: random.pick([0, TCP4, TCP6, UDP_L4, 3, TCP4 | ECN, 99]),
      gsoSize: random.pick([0, 1, 100, 65535]),
      csumStart: random.pick([0, 14, 34, 54, 65535]),
      csumOffset: random.pick([0, 6, 16, 65535]),
    };
    const length = bytes.length + random.between(0, 1) * random.between(0, 65535);
    const packets = segmentGso({ bytes, length }, offload, random.pick(['ethernet', 'ip']));
    const sane = packets.length >= 1 && packets.every(packet => packet.bytes.length <= packet.length);
    if (!sane) t.fail(`round ${round}`, { offload });
  }
  t.pass('3000 rounds');
});
