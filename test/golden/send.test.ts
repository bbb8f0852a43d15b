import t from 'tap';
import {
  createBatch,
  DESC_CSUM_OFFSET,
  DESC_CSUM_START,
  DESC_GSO_SIZE,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFLOAD,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SEGMENTS,
  DESC_SOCKET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../src/dataplane/descriptor/descriptor.ts';
import { SOURCE_STRIDE } from '../../src/dataplane/descriptor/source.ts';
import { EGRESS_MALFORMED, FORWARD } from '../../src/dataplane/descriptor/verdicts.ts';
import { RX_BATCH, RX_SLOT_BYTES } from '../../src/dataplane/io/udp.ts';
import { PEER_STRIDE, writePeer } from '../../src/dataplane/tables/peer-table.ts';
import { native } from '../../src/native/load.ts';
import { Random } from '../fixtures/random.ts';
import { leaveUnfinished, makePacket, randomPayload } from './packets.ts';
import { type Offloaded, segments } from './segments.ts';

/*
 * What udpSend puts on the wire is compared, datagram by datagram, with the slow segmentation. The wire is loopback.
 */

const LOOPBACK = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1]);
const HEADER = new Uint8Array([8, 0, 0, 0, 0, 0, 1, 0]);

interface Wire {
  send(
    frames: readonly Offloaded[],
    maxSegments: number,
    waitMs?: number,
  ): { datagrams: Uint8Array[]; table: Int32Array; stats: Int32Array };
  close(): void;
}

function openWire(header: Uint8Array, unsegmented = false): Wire {
  const receiver = native.udpOpen('', LOOPBACK, 0, 0, 8 << 20);
  const senders = Int32Array.of(
    native.udpOpen('', LOOPBACK, 0, 2, 8 << 20),
    native.udpOpen('', LOOPBACK, 0, 0, 8 << 20),
  );
  const peers = new Int32Array(PEER_STRIDE);
  writePeer(peers, 0, {
    family: 4,
    address: LOOPBACK,
    port: native.udpPort(receiver),
    pathMtu: 65535,
    innerMtu: 65535,
    header,
    mac: undefined,
    unsegmented,
  });
  const out = createBatch(64, 64 * 66000);
  const back = createBatch(RX_BATCH * 128, RX_BATCH * RX_SLOT_BYTES);
  const sources = new Int32Array(RX_BATCH * SOURCE_STRIDE);
  const drain = (waitMs: number) => {
    const datagrams: Uint8Array[] = [];
    for (;;) {
      if (native.waitReadable(receiver, -1, -1, 0, waitMs) <= 0) return datagrams;
      const count = native.udpReceive(receiver, back.slab, back.table, sources, RX_BATCH, 0, 0);
      if (count <= 0) return datagrams;
      for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
        const offset = back.table[at + DESC_OFFSET]!;
        datagrams.push(back.slab.slice(offset, offset + back.table[at + DESC_LENGTH]!));
      }
    }
  };
  return {
    send(frames, maxSegments, waitMs = 20) {
      let cursor = HEADROOM;
      for (const [i, frame] of frames.entries()) {
        const at = i * DESC_STRIDE;
        out.slab.set(frame.bytes, cursor);
        out.table.fill(0, at, at + DESC_STRIDE);
        out.table[at + DESC_OFFSET] = cursor;
        out.table[at + DESC_LENGTH] = frame.bytes.length;
        out.table[at + DESC_OFFLOAD] = (frame.needsCsum ? 1 : 0) | (frame.gsoType << 8);
        out.table[at + DESC_GSO_SIZE] = frame.gsoSize;
        out.table[at + DESC_CSUM_START] = frame.l4;
        const udp = frame.bytes[frame.l3 + (frame.bytes[frame.l3]! >> 4 === 4 ? 9 : 6)] === 17;
        out.table[at + DESC_CSUM_OFFSET] = udp ? 6 : 16;
        out.table[at + DESC_L3] = frame.l3;
        out.table[at + DESC_PEER] = 0;
        out.table[at + DESC_SOCKET] = 0;
        out.table[at + DESC_VERDICT] = FORWARD;
        cursor += frame.bytes.length + HEADROOM;
      }
      const stats = new Int32Array(4);
      native.udpSend(senders, out.slab, out.table, frames.length, peers, maxSegments, stats);
      return { datagrams: drain(waitMs), table: out.table, stats };
    },
    close() {
      for (const fd of [receiver, ...senders]) native.closeFd(fd);
    },
  };
}

function superframe(random: Random, family: 4 | 6, protocol: 6 | 17, l3: number): Offloaded {
  const options = protocol === 6 && random.chance(0.7) ? random.bytes(12) : new Uint8Array(0);
  const gsoSize = random.pick([1, 7, 536, 1208, 1398, 1448, 8948]);
  const most = Math.min(64000, gsoSize * 120);
  const packet = makePacket({
    family,
    protocol,
    l3,
    options,
    payload: randomPayload(random, 1, most),
    sequence: random.uint32(),
    identification: random.between(0, 65535),
    flags: random.pick([0x10, 0x18, 0x11, 0x19, 0x90, 0xd8]),
    tos: random.pick([0, 2, 0xb8]),
    flow: random.between(0, 3),
  });
  leaveUnfinished(packet);
  return {
    bytes: packet.bytes,
    gsoType: protocol === 17 ? 5 : family === 4 ? 1 : 4,
    gsoSize,
    l4: packet.l4,
    l3,
    needsCsum: true,
  };
}

function plain(random: Random, family: 4 | 6, protocol: 6 | 17, l3: number): Offloaded {
  const packet = makePacket({
    family,
    protocol,
    l3,
    payload: randomPayload(random, 0, 1400),
    flow: random.between(0, 3),
  });
  const needsCsum = random.chance(0.5);
  if (needsCsum) leaveUnfinished(packet);
  return { bytes: packet.bytes, gsoType: 0, gsoSize: 0, l4: packet.l4, l3, needsCsum };
}

function withHeader(header: Uint8Array, frame: Uint8Array): string {
  return Buffer.concat([header, frame]).toString('hex');
}

for (const [mode, header] of [
  ['vxlan', HEADER],
  ['udp', new Uint8Array(0)],
] as const) {
  for (const maxSegments of [64, 2, 1]) {
    t.test(
      `${mode}, at most ${maxSegments} datagrams a message: the wire equals the slow segmentation`,
      t => {
        const random = new Random(0x5eed0001 + maxSegments);
        t.comment(`seed ${random.seed}`);
        const wire = openWire(header);
        t.teardown(() => wire.close());
        let fallbacks = 0;
        for (let round = 0; round < 60; round++) {
          const frames: Offloaded[] = [];
          for (let i = random.between(1, 6); i > 0; i--) {
            const l3 = mode === 'udp' ? 0 : random.pick([14, 14, 18]);
            const make = random.chance(0.5) ? superframe : plain;
            frames.push(make(random, random.pick([4, 6]), random.pick([6, 17]), l3));
          }
          const expected = frames.flatMap(frame => segments(frame)).map(frame => withHeader(header, frame));
          const { datagrams, table, stats } = wire.send(frames, maxSegments);
          fallbacks += stats[3]!;
          const got = datagrams.map(datagram => Buffer.from(datagram).toString('hex'));
          // One peer and one socket: the order on the wire is the order of the frames.
          if (got.length !== expected.length || got.some((bytes, i) => bytes !== expected[i])) {
            t.equal(got.length, expected.length, `round ${round}: datagrams`);
            t.strictSame(got, expected, `round ${round}: bytes`);
            break;
          }
          for (const [i, frame] of frames.entries())
            if (table[i * DESC_STRIDE + DESC_SEGMENTS] !== segments(frame).length)
              t.fail(`round ${round}: frame ${i} tells another number of segments`);
        }
        t.comment(`fallbacks ${fallbacks}`);
        t.pass('60 rounds');
        t.end();
      },
    );
  }
}

t.test('a GSO packet is one message, and small frames of one size share one', t => {
  const random = new Random(0x5eed0002);
  const wire = openWire(HEADER);
  t.teardown(() => wire.close());
  const big = makePacket({ family: 4, protocol: 6, payload: random.bytes(1398 * 40) });
  const one = wire.send(
    [{ bytes: big.bytes, gsoType: 1, gsoSize: 1398, l4: big.l4, l3: 14, needsCsum: true }],
    64,
  );
  t.equal(one.datagrams.length, 40);
  t.strictSame([...one.stats], [1, 1, 39, 0], 'one call, one message, 39 datagrams that shared it');
  const small = Array.from({ length: 32 }, () => {
    const packet = makePacket({ family: 4, protocol: 17, payload: random.bytes(64) });
    return { bytes: packet.bytes, gsoType: 0, gsoSize: 0, l4: packet.l4, l3: 14, needsCsum: false };
  });
  const many = wire.send(small, 64);
  t.equal(many.datagrams.length, 32);
  t.strictSame([...many.stats], [1, 1, 31, 0], 'thirty-two equal frames in one message');
  t.end();
});

t.test('a full 64 KiB GSO packet becomes two messages in order', t => {
  const random = new Random(0x5eed0003);
  const wire = openWire(HEADER);
  t.teardown(() => wire.close());
  const big = makePacket({
    family: 4,
    protocol: 6,
    payload: random.bytes(65535 - 40),
    options: new Uint8Array(0),
  });
  const frame: Offloaded = {
    bytes: big.bytes,
    gsoType: 1,
    gsoSize: 1398,
    l4: big.l4,
    l3: 14,
    needsCsum: true,
  };
  const { datagrams, stats } = wire.send([frame], 64);
  t.strictSame(
    datagrams.map(bytes => Buffer.from(bytes).toString('hex')),
    segments(frame).map(bytes => withHeader(HEADER, bytes)),
  );
  t.equal(stats[1], 2, 'messages');
  t.end();
});

t.test('offload metadata that lies is a verdict, not a crash', t => {
  const random = new Random(0x5eed0004);
  t.comment(`seed ${random.seed}`);
  const wire = openWire(HEADER);
  t.teardown(() => wire.close());
  const packet = makePacket({ family: 4, protocol: 6, payload: random.bytes(4000) });
  const base: Offloaded = {
    bytes: packet.bytes,
    gsoType: 1,
    gsoSize: 1000,
    l4: packet.l4,
    l3: 14,
    needsCsum: true,
  };
  const lies: [string, Partial<Offloaded>][] = [
    ['segment size 0', { gsoSize: 0 }],
    ['L4 before the IP header ends', { l4: 30 }],
    ['L4 beyond the frame', { l4: 60000 }],
    ['IPv6 type on an IPv4 packet', { gsoType: 4 }],
    ['UFO, which is not negotiated', { gsoType: 3 }],
    ['an unknown type', { gsoType: 7 }],
    ['IP header beyond the frame', { l3: 22, l4: 42 }],
    ['no payload behind the header', { bytes: packet.bytes.subarray(0, packet.header) }],
    ['a frame cut within its TCP header', { bytes: packet.bytes.subarray(0, packet.l4 + 10) }],
    ['a checksum position beyond the frame', { gsoType: 0, l4: 65000 }],
  ];
  for (const [what, lie] of lies) {
    const { datagrams, table } = wire.send([{ ...base, ...lie }], 64);
    t.equal(datagrams.length, 0, `${what}: nothing on the wire`);
    t.equal(table[DESC_VERDICT], EGRESS_MALFORMED, `${what}: verdict`);
  }
  for (let i = 0; i < 3000; i++) {
    const bytes = random.bytes(random.between(1, 200));
    wire.send(
      [
        {
          bytes,
          gsoType: random.between(0, 7),
          gsoSize: random.between(0, 300),
          l4: random.between(0, 250),
          l3: random.between(0, 30),
          needsCsum: random.chance(0.5),
        },
      ],
      1 + (i & 63),
      0,
    );
    if (i % 500 === 499) t.pass(`${i + 1} frames of noise`);
  }
  t.end();
});

t.test('to a peer without segmentation each datagram is a message of its own', async t => {
  const random = new Random(0x5eed0153);
  for (const [unsegmented, merges] of [
    [true, false],
    [false, true],
  ] as const) {
    const wire = openWire(HEADER, unsegmented);
    t.teardown(() => wire.close());
    for (let round = 0; round < 20; round++) {
      const frames = [superframe(random, 4, 6, 14), plain(random, 6, 17, 14), superframe(random, 6, 17, 14)];
      const expected = frames.flatMap(frame => segments(frame)).map(frame => withHeader(HEADER, frame));
      const { datagrams, stats } = wire.send(frames, 64);
      const got = datagrams.map(datagram => Buffer.from(datagram).toString('hex'));
      t.strictSame(got, expected, `${expected.length} datagrams, as the slow segmentation makes them`);
      if (unsegmented) t.equal(stats[2], 0, 'none shares a message');
      else if (expected.length > 10) t.equal(stats[2]! > 0, merges, 'without the flag they share messages');
    }
  }
});
