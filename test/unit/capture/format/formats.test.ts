import t from 'tap';
import { LINK_ETHERNET, LINK_RAW, type Packet } from '../../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import { Random } from '../../../fixtures/random.ts';
import { chunked, readAll, statisticsOf, written } from '../fixtures/files.ts';
import { joined, randomPacket } from '../fixtures/frames.ts';

const SEED = 0x5eed01;
const NOW = 1_790_000_000_123_456_789n;

function somePackets(count: number, interfaces: number): Packet[] {
  const random = new Random(SEED);
  return Array.from({ length: count }, (_, i) => {
    const bytes = randomPacket(random, 'ethernet');
    const cut = random.chance(0.3) ? random.between(0, bytes.length) : bytes.length;
    return {
      interface: random.between(0, interfaces - 1),
      time: NOW + BigInt(i) * 1001n,
      bytes: bytes.slice(0, cut),
      length: bytes.length,
      ...(random.chance(0.5) ? { direction: random.pick(['in', 'out'] as const) } : {}),
      ...(random.chance(0.5)
        ? { comments: ['verdict forward', 'peer node-b ✓'].slice(random.between(0, 1)) }
        : {}),
      ...(random.chance(0.25) ? { dropped: BigInt(random.between(0, 999)) } : {}),
    };
  });
}

t.test(`pcapng: what is written is read again (seed ${SEED})`, async t => {
  const interfaces = [
    {
      link: LINK_ETHERNET,
      snapLength: 128,
      name: 'egress-inner',
      description: 'from the device',
      filter: 'tcp port 80',
    },
    { link: LINK_RAW, snapLength: 0, name: 'drop' },
  ];
  const format = new PcapngFormat(interfaces, {
    application: 'ripstop 0.1.0',
    os: 'Linux 6.18',
    comments: ['vxlan, VNI 1'],
  });
  const packets = somePackets(200, 2);
  const statistics = [
    { received: 500n, dropped: 3n, accepted: 300n, delivered: 297n, started: NOW, ended: NOW + 5n },
    { received: 2n ** 40n, dropped: 0n, accepted: 0n, delivered: 0n, started: NOW, ended: NOW },
  ];
  const file = written(format, packets, statistics);
  t.equal(file.length % 4, 0, 'aligned to four bytes');
  for (const size of [1, 7, 4096, file.length]) {
    const { reader, packets: read, error } = await readAll(file, size);
    t.equal(error, undefined);
    t.strictSame(read, packets, `packets, in chunks of ${size}`);
    t.strictSame(reader?.interfaces, interfaces);
  }
  t.strictSame(statisticsOf(file), statistics);
});

t.test('pcapng: a comment too long for an option is cut at a whole character', async t => {
  const format = new PcapngFormat([{ link: LINK_RAW, snapLength: 0 }], { application: 'x' });
  const bytes = new Uint8Array(0);
  const file = written(format, [{ interface: 0, time: 0n, bytes, length: 0, comments: ['€'.repeat(40000)] }]);
  const { packets, error } = await readAll(file);
  t.equal(error, undefined);
  t.match(packets[0]!.comments![0], /^€{1365}$/, '1365 times three bytes are the most within 4096');
});

t.test('pcap: what is written is read again, through pcap-parser', async t => {
  const packets = somePackets(100, 1).map(({ time, bytes, length }) => ({
    interface: 0,
    time,
    bytes,
    length,
  }));
  const file = written(new PcapFormat(LINK_ETHERNET, 0), packets);
  for (const size of [1, 7, 4096, file.length]) {
    const { reader, packets: read, error } = await readAll(file, size);
    t.equal(error, undefined);
    t.strictSame(read, packets, `packets, in chunks of ${size}`);
    t.strictSame(reader?.interfaces, [{ link: LINK_ETHERNET, snapLength: 262144 }]);
  }
});

/** The file of four bytes a packet in each of the four classic variants. */
function classic(little: boolean, nanoseconds: boolean): Uint8Array {
  const file = new DataView(new ArrayBuffer(24 + 16 + 4));
  file.setUint32(0, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, little);
  file.setUint16(4, 2, little);
  file.setUint16(6, 4, little);
  file.setUint32(16, 65535, little);
  // Bits above the link type hold the length of a frame check sequence.
  file.setUint32(20, 0x50000000 | LINK_RAW, little);
  file.setUint32(24, 4_000_000_000, little);
  file.setUint32(28, 123_456, little);
  file.setUint32(32, 4, little);
  file.setUint32(36, 90, little);
  file.setUint32(40, 0xdeadbeef);
  return new Uint8Array(file.buffer);
}

t.test('pcap: both byte orders and both units', async t => {
  for (const little of [true, false])
    for (const nanoseconds of [true, false]) {
      const { packets, reader, error } = await readAll(classic(little, nanoseconds));
      t.equal(error, undefined);
      t.equal(reader?.interfaces[0]?.link, LINK_RAW);
      const time = 4_000_000_000n * 1_000_000_000n + (nanoseconds ? 123_456n : 123_456_000n);
      t.strictSame(
        packets,
        [{ interface: 0, time, bytes: Uint8Array.of(0xde, 0xad, 0xbe, 0xef), length: 90 }],
        `${little ? 'little' : 'big'}-endian, ${nanoseconds ? 'nanoseconds' : 'microseconds'}`,
      );
    }
});

t.test('pcap: versions before 2.4, whose lengths may be swapped, and frame check sequences', async t => {
  const edited = (edit: (view: DataView) => void) => {
    const file = classic(true, false);
    edit(new DataView(file.buffer));
    return readAll(file);
  };
  for (const [minor, isSwapped] of [
    [0, true],
    [1, true],
    [2, true],
    [3, true],
    [3, false],
  ] as const) {
    const { packets, error } = await edited(view => {
      view.setUint16(6, minor, true);
      if (!isSwapped) return;
      view.setUint32(32, 90, true);
      view.setUint32(36, 4, true);
    });
    t.equal(error, undefined, `2.${minor}`);
    t.match(packets, [{ length: 90, bytes: Uint8Array.of(0xde, 0xad, 0xbe, 0xef) }]);
  }
  const { packets, reader } = await edited(view => {
    view.setUint32(20, 0x24000001, true);
    view.setUint32(36, 5, true);
  });
  t.equal(reader?.interfaces[0]?.link, LINK_ETHERNET);
  t.match(packets, [{ length: 1, bytes: Uint8Array.of(0xde) }], 'without the frame check sequence');
});

t.test('pcap: broken files end with the place of the fault', async t => {
  const good = classic(true, true);
  const edit = (at: number, ...bytes: number[]) => {
    const copy = good.slice();
    copy.set(bytes, at);
    return copy;
  };
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /at byte 0: the file is empty/],
    ['three bytes', good.slice(0, 3), /too short/],
    ['half a file header', good.slice(0, 20), /inside the file header \(20 of 24 bytes\)/],
    ['half a packet header', good.slice(0, 30), /at byte 24: .*inside a packet header \(6 of 16 bytes\)/],
    ['half a packet', good.slice(0, 42), /at byte 24: .*inside a packet \(18 of 20 bytes\)/],
    [
      'a packet of 4 GiB',
      edit(32, 255, 255, 255, 255),
      /at byte 24: a packet of 4294967295 bytes is larger than 262144/,
    ],
    ['another version', edit(4, 3), /version 3\.4 is not within 2\.0 to 2\.4/],
    ['patched libpcap', edit(0, 0x34, 0xcd, 0xb2, 0xa1), /patched libpcap/],
    ['gzip', edit(0, 0x1f, 0x8b, 8, 0), /magic number 0x1f8b0800/],
    ['text', new TextEncoder().encode('hello, world, this is not a capture'), /neither pcap nor pcapng/],
  ];
  for (const [name, file, expected] of cases) {
    const { error } = await readAll(file);
    t.equal((error as { code?: string } | undefined)?.code, 'ECAPTURE', name);
    t.match(error?.message, expected, name);
  }
});

/** A pcapng block in the given byte order; `body` is a list of [bytes, value]. */
function block(
  little: boolean,
  type: number,
  ...body: (readonly [1 | 2 | 4 | 8, number | bigint] | Uint8Array)[]
) {
  const bytes: number[] = [];
  for (const item of body) {
    if (item instanceof Uint8Array) {
      for (const byte of item) bytes.push(byte);
      continue;
    }
    const view = new DataView(new ArrayBuffer(8));
    if (item[0] === 8) view.setBigUint64(0, BigInt(item[1]), little);
    else if (item[0] === 4) view.setUint32(0, Number(item[1]), little);
    else if (item[0] === 2) view.setUint16(0, Number(item[1]), little);
    else view.setUint8(0, Number(item[1]));
    bytes.push(...new Uint8Array(view.buffer, 0, item[0]));
  }
  while (bytes.length % 4) bytes.push(0);
  const frame = new DataView(new ArrayBuffer(8));
  frame.setUint32(0, type, little);
  frame.setUint32(4, bytes.length + 12, little);
  const head = new Uint8Array(frame.buffer);
  return joined(head, bytes, head.subarray(4));
}

const section = (little: boolean) =>
  block(little, 0x0a0d0d0a, [4, 0x1a2b3c4d], [2, 1], [2, 0], [8, 2n ** 64n - 1n]);
const packetBytes = Uint8Array.of(0x45, 1, 2, 3, 4);

function foreignFile(little: boolean) {
  return joined(
    section(little),
    // Binary resolution 2^-16, an offset of 100 s, and a BPF program instead of a filter text.
    block(
      little,
      1,
      [2, LINK_RAW],
      [2, 0],
      [4, 3],
      [2, 9],
      [2, 1],
      [1, 0x90],
      [1, 0],
      [2, 0],
      [2, 14],
      [2, 8],
      [8, 100n],
      [2, 11],
      [2, 5],
      [1, 1],
      [4, 99],
      [1, 0],
      [2, 0],
      [2, 0],
      [2, 0],
    ),
    block(little, 0x0bad, new Uint8Array(200_000)),
    block(little, 6, [4, 0], [4, 0], [4, 3 * 65536 + 32768], [4, 5], [4, 9], packetBytes),
    block(little, 3, [4, 70], packetBytes.subarray(0, 3)),
    block(little, 2, [2, 0], [2, 17], [4, 0], [4, 65536], [4, 5], [4, 5], packetBytes),
  );
}

t.test('pcapng of other writers: byte orders, sections, resolutions, simple and obsolete blocks', async t => {
  for (const first of [true, false]) {
    const { packets, reader, error } = await readAll(joined(foreignFile(first), foreignFile(!first)), 1000);
    t.equal(error, undefined);
    t.strictSame(reader?.interfaces, Array(2).fill({ link: LINK_RAW, snapLength: 3 }));
    for (const index of [0, 1])
      t.strictSame(packets.slice(index * 3, index * 3 + 3), [
        { interface: index, time: 103_500_000_000n, bytes: packetBytes, length: 9 },
        { interface: index, time: 0n, bytes: packetBytes.slice(0, 3), length: 70 },
        { interface: index, time: 101_000_000_000n, bytes: packetBytes, length: 5, dropped: 17n },
      ]);
  }
});

t.test('pcapng: broken files end with the place of the fault, after every whole packet', async t => {
  const head = joined(section(true), block(true, 1, [2, LINK_RAW], [2, 0], [4, 0]));
  const packet = block(true, 6, [4, 0], [8, 0n], [4, 5], [4, 5], packetBytes);
  const bad = (...parts: Uint8Array[]) => joined(head, packet, ...parts);
  const wrongEnd = packet.slice();
  wrongEnd[wrongEnd.length - 4] = 99;
  const cases: [string, Uint8Array, RegExp, number][] = [
    [
      'no interface',
      joined(section(true), packet),
      /at byte 28: interface 0 is not described; this section describes 0/,
      0,
    ],
    [
      'section ends the interfaces',
      bad(section(true), packet),
      /at byte 116: interface 0 is not described/,
      1,
    ],
    ['half a header', bad(packet.subarray(0, 5)), /at byte 88: .*inside a block header \(5 of 12 bytes\)/, 1],
    ['half a block', bad(packet.subarray(0, 30)), /at byte 88: .*inside a block \(30 of 40 bytes\)/, 1],
    [
      'half an unknown block',
      bad(block(true, 77, new Uint8Array(99)).subarray(0, 60)),
      /at byte 88: .*inside a block of 112/,
      1,
    ],
    ['length 0', bad(new Uint8Array(12)), /at byte 88: block length 0/, 1],
    ['length 13', bad(Uint8Array.of(6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0)), /block length 13/, 1],
    [
      'huge packet block',
      bad(Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0xf0, 0, 0, 0, 0)),
      /4026531840 bytes is larger/,
      1,
    ],
    ['lengths differ', bad(wrongEnd), /two lengths of the block differ \(40, 99\)/, 1],
    [
      'captured bytes beyond the block',
      bad(block(true, 6, [4, 0], [8, 0n], [4, 6000], [4, 6000], packetBytes)),
      /6000 captured bytes/,
      1,
    ],
    ['short packet block', bad(block(true, 6, [4, 0])), /too short/, 1],
    ['simple packet beyond the block', bad(block(true, 3, [4, 50])), /50 captured bytes/, 1],
    [
      'option beyond the block',
      bad(block(true, 6, [4, 0], [8, 0n], [4, 0], [4, 0], [2, 1], [2, 500])),
      /option of the packet/,
      1,
    ],
    [
      'bad byte-order magic',
      block(true, 0x0a0d0d0a, [4, 0x1a2b3c4e], [8, 0n], [4, 0]),
      /byte-order magic 0x4e3c2b1a/,
      0,
    ],
    ['version 2', block(true, 0x0a0d0d0a, [4, 0x1a2b3c4d], [2, 2], [2, 0], [8, 0n]), /version 2 is not 1/, 0],
    [
      'tick of 10^-20 s',
      joined(section(true), block(true, 1, [2, 1], [2, 0], [4, 0], [2, 9], [2, 1], [4, 20])),
      /0x14 is out of range/,
      0,
    ],
  ];
  for (const [name, file, expected, whole] of cases) {
    const { error, packets } = await readAll(file, 10);
    t.equal((error as { code?: string } | undefined)?.code, 'ECAPTURE', name);
    t.match(error?.message, expected, name);
    t.equal(packets.length, whole, `${name}: whole packets before the fault`);
  }
});

t.test('pcapng: a flood of interfaces is refused before it fills the memory', async t => {
  const one = block(true, 1, [2, 1], [2, 0], [4, 0]);
  async function* flood() {
    yield section(true);
    for (;;) yield one;
  }
  const { readCapture } = await import('../../../../src/capture/format/open.ts');
  const reader = await readCapture(flood(), 'flood');
  await t.rejects(reader.packets().next(), /more than 4096 interfaces/);
});

t.test('the stream is let go when the consumer stops early', async t => {
  let closed = false;
  const file = written(new PcapFormat(LINK_RAW, 0), somePackets(5, 1));
  async function* source() {
    try {
      yield* chunked(file, 10);
    } finally {
      closed = true;
    }
  }
  const { readCapture } = await import('../../../../src/capture/format/open.ts');
  for await (const packet of (await readCapture(source(), 'early')).packets()) {
    t.equal(packet.interface, 0);
    break;
  }
  t.ok(closed);
});
