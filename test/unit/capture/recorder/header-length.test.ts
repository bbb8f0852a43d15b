import t from 'tap';
import { headerLength } from '../../../../src/capture/recorder/header-length.ts';
import { Random, seedOfRun } from '../../../fixtures/random.ts';
import { ethernet, ip, joined, randomPacket, tcp, udp, V4, V6 } from '../fixtures/frames.ts';

const PAYLOAD = new Uint8Array(50).fill(0x55);
const lengthOf = (bytes: Uint8Array, link: 'ethernet' | 'ip' = 'ip') =>
  headerLength(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length, link);
const icmp = (type: number, rest: Uint8Array) => joined([type, 0, 0, 0, 0, 0, 0, 0], rest);

t.test('headers up to the transport, and no payload', async t => {
  const segment = { from: 1, to: 2, sequence: 3, flags: 16 };
  for (const [what, bytes, expected] of [
    ['UDP', ip(V4, 17, udp(1, 2, PAYLOAD, V4)), 28],
    ['UDP over IPv6', ip(V6, 17, udp(1, 2, PAYLOAD, V6)), 48],
    ['TCP with options', ip(V4, 6, tcp(segment, PAYLOAD, V4)), 52],
    ['TCP over IPv6', ip(V6, 6, tcp(segment, PAYLOAD, V6)), 72],
    ['an echo', ip(V4, 1, icmp(8, PAYLOAD)), 28],
    ['an echo of IPv6', ip(V6, 58, icmp(128, PAYLOAD)), 48],
    ['an error, with the headers that it quotes', ip(V4, 1, icmp(3, ip(V4, 17, udp(1, 2, PAYLOAD, V4)))), 56],
    ['an error of IPv6', ip(V6, 58, icmp(1, ip(V6, 17, udp(1, 2, PAYLOAD, V6)))), 96],
    ['neighbour discovery', ip(V6, 58, icmp(135, new Uint8Array(24))), 72],
    ['a hop-by-hop extension', ip(V6, 0, joined([17, 0, 1, 4, 0, 0, 0, 0], udp(1, 2, PAYLOAD, V6))), 56],
    ['an unknown protocol', ip(V4, 200, PAYLOAD), 28],
    ['an unknown version', new Uint8Array(60).fill(0x99), 20],
  ] as const) {
    t.equal(lengthOf(bytes), expected, what);
    t.equal(
      lengthOf(ethernet(bytes, [5]), 'ethernet'),
      what === 'an unknown version' ? 38 : expected + 18,
      what,
    );
  }
});

t.test('a later fragment and a frame of another type have no headers of a transport', async t => {
  const later = ip(V4, 17, PAYLOAD);
  later.set([0x00, 0x20], 6);
  t.equal(lengthOf(later), 20);
  const arp = joined([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], [8, 6], PAYLOAD);
  t.equal(lengthOf(arp, 'ethernet'), 42);
  const other = joined([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], [0x88, 0xcc], PAYLOAD);
  t.equal(lengthOf(other, 'ethernet'), 14);
});

const seed = seedOfRun();
t.comment(`seed ${seed}`);

t.test('any bytes, cut anywhere, give a length within them', async t => {
  const random = new Random(seed);
  let wrong = 0;
  for (let i = 0; i < 5000; i++) {
    const link = random.pick(['ethernet', 'ip'] as const);
    const packet = randomPacket(random, link === 'ip' ? 'raw' : link).slice(0, random.below(97));
    for (let flips = random.below(6); flips > 0 && packet.length > 0; flips--)
      packet[random.below(packet.length)] = random.below(256);
    const length = lengthOf(packet, link);
    if (!(length >= 0 && length <= packet.length)) wrong++;
  }
  t.equal(wrong, 0);
});
