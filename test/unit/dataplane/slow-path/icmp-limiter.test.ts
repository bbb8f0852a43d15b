import t from 'tap';
import { viewOf } from '../../../../encap/wire/addresses.ts';
import { sum } from '../../../../encap/wire/checksum.ts';
import { buildTooBig, buildUnreachable } from '../../../../src/dataplane/slow-path/icmp-builder.ts';
import { IcmpLimiter } from '../../../../src/dataplane/slow-path/icmp-limiter.ts';
import { packet4, packet6 } from './fixtures/packets.ts';

t.test('as much of the packet is quoted as fits: 576 bytes of IPv4, 1280 of IPv6 in all', async t => {
  for (const [bytes, quoted] of [
    [28, 28],
    [548, 548],
    [549, 548],
    [1500, 548],
  ] as const) {
    const packet = packet4(new Uint8Array(bytes - 20).fill(7));
    const answer = buildTooBig(viewOf(packet), 0, bytes, 1400);
    t.equal(answer.message.length, 8 + quoted);
    t.strictSame(answer.message.subarray(8), packet.subarray(0, quoted));
    t.equal(sum(viewOf(answer.message), 0, answer.message.length, 0), 0xffff, 'checksum');
  }
  for (const [bytes, quoted] of [
    [48, 48],
    [1232, 1232],
    [1233, 1232],
    [9000, 1232],
  ] as const) {
    const packet = packet6(new Uint8Array(bytes - 40).fill(7));
    const answer = buildTooBig(viewOf(packet), 0, bytes, 1400);
    t.strictSame(answer.message.subarray(8), packet.subarray(0, quoted));
    t.equal(viewOf(answer.message).getUint16(2), 0, 'the kernel fills it in');
  }
});

t.test('padding behind the packet and other bytes of a GSO packet are not quoted', async t => {
  const packet = packet4(new Uint8Array(8));
  const padded = new Uint8Array(packet.length + 18).fill(0xee);
  padded.set(packet);
  t.strictSame(buildUnreachable(viewOf(padded), 0, padded.length).message.subarray(8), packet);
});

t.test('the MTU is never one that a receiver must ignore', async t => {
  const four = packet4(new Uint8Array(600));
  const six = packet6(new Uint8Array(1400));
  const mtu4 = (mtu: number) => viewOf(buildTooBig(viewOf(four), 0, four.length, mtu).message).getUint16(6);
  const mtu6 = (mtu: number) => viewOf(buildTooBig(viewOf(six), 0, six.length, mtu).message).getUint32(4);
  t.strictSame([mtu4(0), mtu4(67), mtu4(68), mtu4(1450), mtu4(70_000)], [68, 68, 68, 1450, 65_535]);
  t.strictSame([mtu6(0), mtu6(1279), mtu6(1280), mtu6(1430)], [1280, 1280, 1280, 1430]);
});

t.test('frame without an IP packet: not answered', async t => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(100), Uint8Array.of(0x45), Uint8Array.of(0x60)]) {
    const limiter = new IcmpLimiter();
    t.equal(limiter.unreachable(viewOf(bytes), 0, bytes.length, 0), undefined);
    t.equal(limiter.tooBig(viewOf(bytes), 0, bytes.length, 1400, 0), undefined);
  }
});

t.test('the two kinds of errors do not share a limit', async t => {
  const rate = { perSecond: 1, burst: 2 };
  const answers = new IcmpLimiter({ node: rate, source: rate, pair: rate, entries: 8 });
  const packet = packet4(new Uint8Array(8));
  const view = viewOf(packet);
  const noPeer = (nowMs: number) => answers.unreachable(view, 0, packet.length, nowMs) !== undefined;
  t.strictSame(
    [noPeer(0), noPeer(0), noPeer(0), noPeer(999), noPeer(1000), noPeer(1000)],
    [true, true, false, false, true, false],
  );
  t.ok(answers.tooBig(view, 0, packet.length, 1400, 1000), 'too-big has tokens of its own');
  const group = packet4(new Uint8Array(8), { destination: '224.0.0.1' });
  t.equal(answers.unreachable(viewOf(group), 0, group.length, 9000), undefined, 'to a group');
});

t.test('each pod and each pair has its own limit', async t => {
  const limits = {
    node: { perSecond: 1000, burst: 1000 },
    source: { perSecond: 1, burst: 3 },
    pair: { perSecond: 1, burst: 1 },
    entries: 1000,
  };
  const answers = new IcmpLimiter(limits);
  const ask = (packet: Uint8Array) =>
    answers.unreachable(viewOf(packet), 0, packet.length, 5000) === undefined ? 0 : 1;
  for (const [make, sources, destinations] of [
    [packet4, ['10.244.1.2', '10.244.1.3'], ['10.9.0.1', '10.9.0.2', '10.9.0.3', '10.9.0.4']],
    [packet6, ['fd00:1::2', 'fd00:1::3'], ['fd09::1', 'fd09::2', 'fd09::3', 'fd09:0:0:1::']],
  ] as const)
    for (const source of sources) {
      const allowed = destinations.map(destination => {
        const packet = make(new Uint8Array(8), { source, destination });
        return [ask(packet), ask(packet)];
      });
      t.strictSame(
        allowed,
        [
          [1, 0],
          [1, 0],
          [1, 0],
          [0, 0],
        ],
        source,
      );
    }
});
