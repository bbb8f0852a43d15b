import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  createBatch,
  DESC_GSO_SIZE,
  DESC_L3,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_STRIDE,
  DESC_VERDICT,
  HEADROOM,
} from '../../src/dataplane/descriptor/descriptor.ts';
import { ACCEPT_PARTIAL, MERGE_TCP, MERGE_UDP } from '../../src/dataplane/descriptor/native-arguments.ts';
import { BAD_CHECKSUM, FORWARD } from '../../src/dataplane/descriptor/verdicts.ts';
import { native } from '../../src/native/load.ts';
import { Random } from '../fixtures/random.ts';
import { leaveUnfinished, makePacket, type Packet, randomPayload } from './packets.ts';
import { segments } from './segments.ts';

/*
 * What tunWrite hands to the device, cut again by the slow segmentation, must be what came in: no frame lost, changed or
 * out of order within its flow; but a PSH may have moved to the end of its write. The device is a file: each write is header, frame, header, frame.
 */

const VNET = 12;
const PSH = 0x08;
const BOTH = MERGE_TCP | MERGE_UDP;

interface Written {
  readonly gsoType: number;
  readonly gsoSize: number;
  readonly flags: number;
  readonly l4: number;
  readonly bytes: Uint8Array;
}

function write(
  frames: readonly Uint8Array[],
  flags: number,
  l3 = 14,
  mtu = 65535,
  gsoSize = 0,
  segmentMtu = mtu,
): { writes: Written[]; verdicts: number[]; stats: Int32Array } {
  const file = join(tmpdir(), `ripstop-coalesce-${process.pid}`);
  const fd = openSync(file, 'w');
  const batch = createBatch(
    frames.length,
    frames.reduce((sum, frame) => sum + frame.length + HEADROOM, HEADROOM),
  );
  let cursor = HEADROOM;
  for (const [i, frame] of frames.entries()) {
    batch.slab.set(frame, cursor);
    batch.table[i * DESC_STRIDE + DESC_OFFSET] = cursor;
    batch.table[i * DESC_STRIDE + DESC_LENGTH] = frame.length;
    batch.table[i * DESC_STRIDE + DESC_L3] = l3;
    batch.table[i * DESC_STRIDE + DESC_GSO_SIZE] = gsoSize;
    batch.table[i * DESC_STRIDE + DESC_VERDICT] = FORWARD;
    cursor += frame.length + HEADROOM;
  }
  const stats = new Int32Array(4);
  native.tunWrite(fd, batch.slab, batch.table, frames.length, flags, mtu, segmentMtu, stats);
  closeSync(fd);
  const bytes = readFileSync(file);
  unlinkSync(file);
  const writes: Written[] = [];
  for (let at = 0; at < bytes.length; ) {
    const ip = at + VNET + l3;
    const length = bytes[ip]! >> 4 === 4 ? bytes.readUInt16BE(ip + 2) : 40 + bytes.readUInt16BE(ip + 4);
    const end = ip + length;
    writes.push({
      flags: bytes[at]!,
      gsoType: bytes[at + 1]!,
      gsoSize: bytes.readUInt16LE(at + 4),
      l4: bytes.readUInt16LE(at + 6),
      bytes: new Uint8Array(bytes.subarray(at + VNET, end)),
    });
    at = end;
  }
  return { writes, stats, verdicts: frames.map((_, i) => batch.table[i * DESC_STRIDE + DESC_VERDICT]!) };
}

/** The frames that the receiving stack would see, in order. */
function expand(writes: readonly Written[], l3 = 14): Uint8Array[] {
  return writes.flatMap(({ bytes, gsoType, gsoSize, l4, flags }) =>
    segments({ bytes, gsoType, gsoSize, l4, l3, needsCsum: (flags & 1) === 1 }),
  );
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Where the flags of TCP are, or -1 for another protocol. */
function flagsAt(bytes: Uint8Array, l3: number): number {
  const four = bytes[l3]! >> 4 === 4;
  return bytes[l3 + (four ? 9 : 6)] === 6 ? l3 + (four ? 20 : 40) + 13 : -1;
}

const pushes = (bytes: Uint8Array, l3: number) => ((bytes[flagsAt(bytes, l3)] ?? 0) & PSH) !== 0;

/**
 * All that merging keeps: of frames with DF not the IPv4 identification with its checksum, as one that is the same in all of
 * them means nothing (RFC 6864) and counts up when they are cut again; nor which frame of a write has the PSH. The TCP checksum is adjusted (RFC 1624), so that a wrong one stays wrong.
 */
function kept(bytes: Uint8Array, l3: number): string {
  const copy = Buffer.from(bytes);
  if (copy[l3]! >> 4 === 4 && (copy[l3 + 6]! & 0x40) !== 0)
    copy.fill(0, l3 + 4, l3 + 6).fill(0, l3 + 10, l3 + 12);
  if (pushes(copy, l3)) {
    const at = flagsAt(copy, l3);
    copy[at]! &= ~PSH;
    const sum = copy.readUInt16BE(at + 3) + PSH;
    copy.writeUInt16BE((sum & 0xffff) + (sum >> 16), at + 3);
  }
  return hex(copy);
}

/** Addresses, protocol and ports. */
function flowOf(bytes: Uint8Array, l3: number): string {
  const four = bytes[l3]! >> 4 === 4;
  const protocol = four ? bytes[l3 + 9] : bytes[l3 + 6];
  const l4 = l3 + (four ? 20 : 40);
  return `${protocol} ${hex(bytes.subarray(four ? l3 + 12 : l3 + 8, l4))} ${hex(bytes.subarray(l4, l4 + 4))}`;
}

function byFlow(frames: readonly Uint8Array[], l3: number): Map<string, Uint8Array[]> {
  const flows = new Map<string, Uint8Array[]>();
  for (const frame of frames) {
    const flow = flowOf(frame, l3);
    flows.set(flow, [...(flows.get(flow) ?? []), frame]);
  }
  return flows;
}

interface Sender {
  next(): Packet;
}

/** A flow that behaves: mostly full segments in sequence, sometimes a short one, a PSH, a jump, an option change. */
function makeSender(random: Random, flow: number, l3: number): Sender {
  const family = random.pick([4, 6] as const);
  const protocol = random.pick([6, 6, 17] as const);
  const segment = random.pick([100, 536, 1398]);
  let options: Uint8Array<ArrayBufferLike> = random.chance(0.7) ? random.bytes(12) : new Uint8Array(0);
  let sequence = random.uint32();
  let acknowledgement = random.uint32();
  let ttl = 63;
  let identification = random.between(0, 0xffff);
  const isFixed = random.chance(0.3);
  const hasDf = isFixed || random.chance(0.5);
  return {
    next() {
      if (random.chance(0.04)) options = random.bytes(options.length);
      if (random.chance(0.04)) acknowledgement = (acknowledgement + 100) >>> 0;
      if (random.chance(0.03)) sequence = random.uint32();
      if (random.chance(0.02)) ttl = random.between(60, 64);
      const payload = random.chance(0.85) ? random.bytes(segment) : randomPayload(random, 0, segment + 60);
      const flags = random.chance(0.9) ? 0x10 : random.pick([0x18, 0x11, 0x02, 0x14, 0x50, 0x90]);
      if (random.chance(0.03)) identification = random.between(0, 0xffff);
      else if (!isFixed) identification = (identification + 1) & 0xffff;
      const reserved = random.chance(0.02) ? 0x8000 : 0;
      const packet = makePacket({
        fragment: (hasDf ? 0x4000 : 0) | reserved,
        identification,
        urgent: random.chance(0.03) ? 7 : 0,
        family,
        protocol,
        l3,
        payload,
        flow,
        options,
        sequence,
        acknowledgement,
        flags,
        ttl,
      });
      sequence = (sequence + payload.length) >>> 0;
      return packet;
    },
  };
}

for (const l3 of [14, 18, 0]) {
  t.test(`what is written, cut again, is what came in (IP header at ${l3})`, t => {
    const random = new Random(0xc0a1e5ce + l3);
    t.comment(`seed ${random.seed}`);
    let merged = 0;
    let fallbacks = 0;
    let pushed = 0;
    for (let round = 0; round < 150; round++) {
      const senders = Array.from({ length: random.between(1, 24) }, (_, flow) =>
        makeSender(random, flow, l3),
      );
      const frames: Uint8Array[] = [];
      const corrupt = new Set<number>();
      while (frames.length < 120) {
        const sender = random.pick(senders);
        for (let burst = random.between(1, 20); burst > 0; burst--) {
          const packet = sender.next();
          if (random.chance(0.02) && packet.bytes.length > packet.header) {
            packet.bytes[random.between(packet.header, packet.bytes.length - 1)]! ^=
              1 << random.between(0, 7);
            corrupt.add(frames.length);
          }
          frames.push(packet.bytes);
        }
      }
      const { writes, stats, verdicts } = write(frames, BOTH, l3);
      merged += stats[2]!;
      fallbacks += stats[3]!;
      const dropped = new Set(verdicts.flatMap((verdict, i) => (verdict === BAD_CHECKSUM ? [i] : [])));
      for (const i of dropped) if (!corrupt.has(i)) t.fail(`round ${round}: good frame ${i} dropped`);
      const expected = byFlow(
        frames.filter((_, i) => !dropped.has(i)),
        l3,
      );
      const got = byFlow(expand(writes, l3), l3);
      for (const [flow, list] of expected) {
        const came = list.map(frame => kept(frame, l3));
        const there = (got.get(flow) ?? []).map(frame => kept(frame, l3));
        if (came.length === there.length && came.every((bytes, i) => bytes === there[i])) continue;
        t.strictSame(there, came, `round ${round}: flow ${flow}`);
        t.end();
        return;
      }
      for (const one of writes) {
        const cut = expand([one], l3);
        const came = expected.get(flowOf(one.bytes, l3))!.splice(0, cut.length);
        const wanted = came.some(frame => pushes(frame, l3));
        if (wanted !== pushes(cut.at(-1)!, l3)) t.fail(`round ${round}: PSH of a write, ${wanted} before`);
        pushed += Number(wanted);
      }
      if (got.size !== expected.size) t.fail(`round ${round}: a flow came out of nothing`);
      // A frame whose checksum was wrong must still be wrong when it is written: never made good by merging.
      for (const { bytes, flags } of writes) {
        if ((flags & 1) === 1) continue;
        const index = frames.findIndex((frame, i) => corrupt.has(i) && hex(frame) === hex(bytes));
        if (index >= 0 && dropped.has(index)) t.fail(`round ${round}: dropped and written`);
      }
    }
    t.comment(`fallbacks ${fallbacks}`);
    t.ok(pushed > 100, `${pushed} writes with PSH`);
    t.ok(merged > 1000 || fallbacks > 1000, `${merged} frames shared a write`);
    t.end();
  });
}

function train(shape: {
  family: 4 | 6;
  protocol: 6 | 17;
  count: number;
  size: number;
  last?: number;
  lastFlags?: number;
}): Packet[] {
  const random = new Random(7);
  let sequence = 1000;
  return Array.from({ length: shape.count }, (_, i) => {
    const isLast = i === shape.count - 1;
    const payload = random.bytes(isLast ? (shape.last ?? shape.size) : shape.size);
    const packet = makePacket({
      family: shape.family,
      protocol: shape.protocol,
      payload,
      sequence,
      flags: isLast ? (shape.lastFlags ?? 0x10) : 0x10,
    });
    sequence += payload.length;
    return packet;
  });
}

for (const family of [4, 6] as const) {
  for (const protocol of [6, 17] as const) {
    t.test(`a train of forty is one write (IPv${family}, protocol ${protocol})`, t => {
      const packets = train({ family, protocol, count: 40, size: 1200, last: 700 });
      const { writes, stats } = write(
        packets.map(packet => packet.bytes),
        BOTH,
      );
      t.equal(writes.length, 1);
      t.equal(stats[2], 39, 'merged');
      t.equal(writes[0]!.gsoSize, 1200);
      t.equal(writes[0]!.gsoType, protocol === 17 ? 5 : family === 4 ? 1 : 4);
      t.equal(writes[0]!.flags, 1, 'the kernel finishes the checksum');
      t.end();
    });
  }
}

t.test('a run continues after a PSH and has one at its end', t => {
  const first = train({ family: 4, protocol: 6, count: 5, size: 500, lastFlags: 0x18 });
  const second = makePacket({ family: 4, protocol: 6, payload: new Uint8Array(500), sequence: 1000 + 2500 });
  const frames = [...first, second].map(packet => packet.bytes);
  const { writes } = write(frames, BOTH);
  t.equal(writes.length, 1);
  t.equal(writes[0]!.gsoSize, 500);
  t.equal(writes[0]!.bytes[first[0]!.l4 + 13], 0x18);
  t.strictSame(
    expand(writes).map(bytes => pushes(bytes, 14)),
    [false, false, false, false, false, true],
  );
  const [lone] = write([first[4]!.bytes], BOTH).writes;
  t.strictSame(lone!.bytes, first[4]!.bytes, 'a lone frame is written untouched');
  const none = write(
    train({ family: 4, protocol: 6, count: 5, size: 500 }).map(packet => packet.bytes),
    BOTH,
  );
  t.equal(none.writes[0]!.bytes[first[0]!.l4 + 13], 0x10, 'none is invented');
  t.end();
});

/** The numbers of frames in the writes of six TCP frames. */
function runsOf(shape: (at: number) => Partial<Parameters<typeof makePacket>[0]>): number[] {
  const frames = Array.from({ length: 6 }, (_, at) =>
    makePacket({
      family: 4,
      protocol: 6,
      payload: new Uint8Array(500),
      sequence: 1000 + 500 * at,
      ...shape(at),
    }),
  );
  const { writes } = write(
    frames.map(({ bytes }) => bytes),
    BOTH,
  );
  const cut = writes.map(one => expand([one]));
  // An identification that stays means nothing, and counts up when a write is cut again.
  const ids = frames.map(({ bytes }) => hex(bytes.subarray(18, 20)));
  if (ids.every((id, at) => id !== ids[at + 1]))
    t.strictSame(
      cut.flat().map(hex),
      frames.map(({ bytes }) => hex(bytes)),
      'byte for byte',
    );
  return cut.map(({ length }) => length);
}

t.test('what the kernel’s GRO would not merge is not merged (H18)', async t => {
  const DF = 0x4000;
  for (const fragment of [DF, 0]) {
    t.same(
      runsOf(at => ({ fragment, identification: 0xfffd + at })),
      [6],
      'an identification that counts up',
    );
    t.same(
      runsOf(at => ({ fragment, identification: 7 - at })),
      [1, 1, 1, 1, 1, 1],
      'one that counts down',
    );
    t.same(
      runsOf(at => ({ fragment, identification: at < 3 ? at : at + 9 })),
      [3, 3],
      'a jump',
    );
  }
  t.same(
    runsOf(() => ({ fragment: DF, identification: 7 })),
    [6],
    'one that stays, with DF',
  );
  t.same(
    runsOf(() => ({ fragment: 0, identification: 7 })),
    [1, 1, 1, 1, 1, 1],
    'one that stays, without DF',
  );
  t.same(
    runsOf(at => ({ fragment: DF, identification: at < 2 ? 7 : 5 + at })),
    [3, 3],
    'it stays, then counts up',
  );
  t.same(
    runsOf(at => ({ fragment: DF, identification: at < 3 ? at : 2 })),
    [3, 3],
    'it counts up, then stays',
  );
  t.same(
    runsOf(at => ({ fragment: DF | 0x8000, identification: at })),
    [1, 1, 1, 1, 1, 1],
    'the reserved flag',
  );
  t.same(
    runsOf(at => ({ fragment: at < 3 ? DF : 0, identification: at })),
    [3, 3],
    'DF of some frames',
  );
  t.same(
    runsOf(at => ({ identification: at, urgent: at === 2 ? 9 : 0 })),
    [2, 1, 3],
    'an urgent pointer without URG',
  );
  const datagrams = (identification: (at: number) => number, fragment: number) =>
    write(
      Array.from(
        { length: 4 },
        (_, at) =>
          makePacket({
            ...{ family: 4, protocol: 17, payload: new Uint8Array(300) },
            ...{ fragment, identification: identification(at) },
          }).bytes,
      ),
      BOTH,
    ).writes.length;
  t.equal(
    datagrams(at => at, 0),
    1,
    'UDP that counts up',
  );
  t.equal(
    datagrams(() => 0, DF),
    1,
    'UDP of a socket without a peer: always zero, with DF',
  );
  t.equal(
    datagrams(() => 0, 0),
    4,
  );
});

t.test('switched off, every frame is a write of its own, byte for byte', t => {
  const packets = [
    ...train({ family: 4, protocol: 6, count: 6, size: 500 }),
    ...train({ family: 6, protocol: 17, count: 6, size: 500 }),
  ];
  const { writes } = write(
    packets.map(packet => packet.bytes),
    0,
  );
  t.strictSame(
    writes.map(({ bytes }) => hex(bytes)),
    packets.map(({ bytes }) => hex(bytes)),
  );
  t.end();
});

t.test('an IPv4 header with a wrong checksum is never merged into a right one', t => {
  const packets = train({ family: 4, protocol: 6, count: 4, size: 500 });
  packets[2]!.bytes[14 + 11]! ^= 1;
  const { verdicts, writes } = write(
    packets.map(packet => packet.bytes),
    BOTH,
  );
  t.equal(verdicts[2], BAD_CHECKSUM);
  t.equal(expand(writes).length, 3);
  t.end();
});

t.test('UDP without a checksum passes alone; empty datagrams are never merged', t => {
  const packets = train({ family: 4, protocol: 17, count: 3, size: 300 });
  for (const { bytes, l4 } of packets) bytes.fill(0, l4 + 6, l4 + 8);
  const empty = train({ family: 4, protocol: 17, count: 3, size: 0 });
  const frames = [...packets, ...empty].map(packet => packet.bytes);
  const { writes } = write(frames, BOTH);
  t.strictSame(
    writes.map(({ bytes }) => hex(bytes)),
    frames.map(hex),
  );
  t.end();
});

t.test('partial checksums: refused by default, finished by the kernel where the underlay is local', t => {
  const packets = train({ family: 4, protocol: 6, count: 4, size: 500 });
  for (const packet of packets) leaveUnfinished(packet);
  const frames = packets.map(packet => packet.bytes);
  const refused = write(frames, BOTH);
  t.equal(refused.stats[2], 0, 'nothing merged');
  t.ok(refused.verdicts.filter(verdict => verdict === BAD_CHECKSUM).length >= 3);
  const accepted = write(frames, BOTH | ACCEPT_PARTIAL);
  t.equal(accepted.writes.length, 1);
  t.equal(accepted.writes[0]!.flags, 1);
  const lone = write([frames[0]!], BOTH | ACCEPT_PARTIAL);
  t.equal(lone.writes[0]!.flags, 1, 'a lone one is handed to the kernel to finish');
  t.equal(lone.writes[0]!.gsoType, 0);
  t.end();
});

t.test('a whole GSO packet of a kernel peer on this host is cut to the MTU of the device', t => {
  const packet = makePacket({ family: 4, protocol: 6, payload: new Random(3).bytes(20000) });
  leaveUnfinished(packet);
  const { writes } = write([packet.bytes], BOTH | ACCEPT_PARTIAL, 14, 1450);
  t.equal(writes.length, 1);
  t.equal(writes[0]!.gsoType, 1);
  t.equal(writes[0]!.gsoSize, 1450 - 40);
  const [smaller] = write([packet.bytes], BOTH | ACCEPT_PARTIAL, 14, 1450, 0, 1430).writes;
  t.equal(smaller!.gsoSize, 1430 - 40, 'to that of a smaller device behind it (J6)');
  const whole = train({ family: 4, protocol: 6, count: 3, size: 20000, last: 1000 });
  for (const each of whole) leaveUnfinished(each);
  const frames = whole.map(each => each.bytes);
  t.strictSame(
    write(frames, BOTH | ACCEPT_PARTIAL, 14, 1450).writes.map(each => each.gsoSize),
    [1410, 1410, 0],
    'such packets are not coalesced: their size is not a segment size',
  );
  const corrupt = makePacket({ family: 4, protocol: 6, payload: new Random(4).bytes(20000) });
  corrupt.bytes[corrupt.header + 5]! ^= 0x10;
  t.strictSame(write([corrupt.bytes], BOTH | ACCEPT_PARTIAL, 14, 1450).verdicts, [BAD_CHECKSUM]);
  t.end();
});

t.test('a whole UDP GSO packet of a kernel peer on this host is cut into its datagrams (J5)', async t => {
  for (const family of [4, 6] as const)
    for (const [size, gsoSize] of [
      [12_000, 1200],
      [1000, 500],
      [2500, 1200],
    ] as const) {
      const packet = makePacket({ family, protocol: 17, payload: new Random(5).bytes(size) });
      const payload = hex(packet.bytes.subarray(packet.header));
      leaveUnfinished(packet);
      const count = Math.ceil(size / gsoSize);
      for (const flags of [BOTH | ACCEPT_PARTIAL, MERGE_TCP | ACCEPT_PARTIAL]) {
        const { writes } = write([packet.bytes, packet.bytes], flags, 14, 1450, gsoSize);
        const cut = expand(writes);
        t.equal(
          writes.length,
          flags & MERGE_UDP ? 2 : 2 * count,
          'one GSO packet, or one write per datagram',
        );
        t.equal(cut.length, 2 * count);
        t.equal(
          cut
            .slice(0, count)
            .map(each => hex(each.subarray(packet.header)))
            .join(''),
          payload,
        );
        t.ok(cut.every(each => each.length <= packet.header + gsoSize));
        const good = makePacket({ family, protocol: 17, payload: cut[0]!.subarray(packet.header) });
        t.equal(hex(cut[0]!), hex(good.bytes), 'the first datagram, checksums included');
      }
      t.strictSame(
        write([packet.bytes], BOTH, 14, 1450, gsoSize).verdicts,
        [BAD_CHECKSUM],
        'not without leave',
      );
    }
});

t.test('noise is written as it came and never crashes', t => {
  const random = new Random(0x0153e);
  t.comment(`seed ${random.seed}`);
  for (let round = 0; round < 300; round++) {
    const frames = Array.from({ length: 20 }, () => {
      const packet = makePacket({
        family: random.pick([4, 6]),
        protocol: random.pick([6, 17]),
        payload: randomPayload(random, 0, 120),
        flow: random.between(0, 2),
      });
      for (let flips = random.between(0, 6); flips > 0; flips--)
        packet.bytes[random.between(12, packet.bytes.length - 1)] = random.between(0, 255);
      return packet.bytes.slice(0, random.between(15, packet.bytes.length));
    });
    const batch = createBatch(frames.length, frames.length * 4096);
    frames.forEach((frame, i) => {
      batch.slab.set(frame, i * 4096 + HEADROOM);
      batch.table.set([i * 4096 + HEADROOM, frame.length], i * DESC_STRIDE);
      batch.table[i * DESC_STRIDE + DESC_L3] = random.between(0, 30);
      batch.table[i * DESC_STRIDE + DESC_VERDICT] = FORWARD;
    });
    const fd = openSync('/dev/null', 'w');
    const refused = native.tunWrite(
      fd,
      batch.slab,
      batch.table,
      frames.length,
      BOTH | ACCEPT_PARTIAL,
      1450,
      1450,
      new Int32Array(4),
    );
    closeSync(fd);
    if (refused < 0 || refused > frames.length) t.fail(`round ${round}: ${refused} refused`);
  }
  t.pass('300 rounds');
  t.end();
});
