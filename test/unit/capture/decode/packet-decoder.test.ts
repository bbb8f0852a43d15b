import t from 'tap';
import { PacketDecoder } from '../../../../src/capture/decode/packet-decoder.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import { PeerHistory } from '../../../../src/capture/live/peer-history.ts';
import { decodeRecord } from '../../../../src/capture/live/record.ts';
import {
  FORWARD,
  NO_PEER,
  SEND_FAILED,
  UNKNOWN_PEER,
  WRONG_VNI,
} from '../../../../src/dataplane/descriptor/verdicts.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { written } from '../fixtures/files.ts';
import { ethernet, ip, joined, tcp, V4, V6 } from '../fixtures/frames.ts';
import { CONTEXT, type Judged, UDP_CONTEXT, worker } from '../fixtures/tapped.ts';
import { tsharkFields } from '../fixtures/tshark.ts';

const ALL = 31;
const small = ethernet(
  ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 0x10 }, Uint8Array.of(1), V4)),
);
const big = (payload: number) => {
  const frame = ethernet(
    ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 0x18 }, new Uint8Array(payload), V4)),
  );
  frame.set([0x12, 0x34], 50);
  return { frame, offload: [1, 1, 1398, 34, 16] as const, segments: Math.ceil(payload / 1398) };
};
const encapsulated = (frame: Uint8Array, vni = 1) => joined([8, 0, 0, 0, 0, 0, vni, 0], frame);

/** A capture of both directions, as a file. */
function capture(
  egress: Judged[],
  ingress: Judged[],
  options: { snapLength?: number; segments?: boolean; points?: number } = {},
  context = CONTEXT,
) {
  const { snapLength = 0, segments = false, points = ALL } = options;
  const headerBytes = context.mode === 'vxlan' ? 8 : 0;
  const decoder = new PacketDecoder(context, { points, snapLength, segments });
  const packets = (['egress', 'ingress'] as const).flatMap(direction => {
    const one = worker(direction, headerBytes);
    one.want({ points, snapLength });
    one.pass(direction === 'egress' ? egress : ingress);
    return one.reader.take().flatMap(record => decoder.packets(record));
  });
  return {
    packets,
    decoder,
    file: written(new PcapngFormat(decoder.interfaces, { application: 'ripstop' }), packets),
  };
}

const FIELDS = ['frame.interface_name', 'frame.protocols', 'frame.comment', 'frame.packet_flags_direction'];
const PROOF = ['tcp.checksum.status', 'udp.checksum.status', 'ip.checksum.status', '_ws.malformed'];
const isGood = (row: string[], from: number) =>
  row.slice(from, from + 3).every(states => /^(1(,1)*)?$/.test(states)) && !row[from + 3];

t.test('vxlan: the five points, as tshark shows them', { skip: skipUnless('tshark') }, async t => {
  const { file, decoder } = capture(
    [
      { frame: small },
      { frame: small, verdict: NO_PEER, peer: -1 },
      { frame: small, verdict: SEND_FAILED, error: 101 },
    ],
    [
      { frame: encapsulated(small), source: [192, 0, 2, 2], port: 50123 },
      { frame: encapsulated(small, 9), verdict: WRONG_VNI },
    ],
  );
  t.strictSame(
    decoder.interfaces.map(({ name, link }) => [name, link]),
    [
      ['egress-inner', 1],
      ['egress-outer', 1],
      ['ingress-outer', 1],
      ['ingress-inner', 1],
      ['drop', 1],
    ],
  );
  const rows = tsharkFields(file, [...FIELDS, ...PROOF, 'ip.src', 'udp.srcport', 'udp.dstport', 'vxlan.vni']);
  t.ok(
    rows.every(row => isGood(row, 4)),
    'all checksums right, nothing malformed',
  );
  const inner = 'eth:ethertype:ip:tcp';
  const outer = `eth:ethertype:ip:udp:vxlan:${inner}`;
  const b = 'peer node-b (192.0.2.2)';
  const out = '0x00000002';
  const back = '0x00000001';
  const lost =
    'drop: no-peer, no peer owns the destination; the sender gets an ICMP unreachable (rate-limited)';
  const failed = `drop: send-failed, the kernel refused the datagram, ENETUNREACH; ${b}`;
  const wrong = `drop: wrong-vni, another VXLAN network identifier than ours; ${b}`;
  t.strictSame(
    // Whether tshark names the payload depends on what it knows of the connection.
    rows.map(row => [row[0], row[1]!.replace(/:data$/, ''), row[2], row[3]]),
    [
      ['egress-inner', inner, `forward; ${b}`, out],
      ['egress-outer', outer, `forward; ${b}`, out],
      ['egress-inner', inner, lost, out],
      ['drop', inner, lost, out],
      ['egress-inner', inner, failed, out],
      ['drop', inner, failed, out],
      ['ingress-outer', outer, `forward; ${b}`, back],
      ['ingress-inner', inner, `forward; ${b}`, back],
      ['ingress-outer', outer, wrong, back],
      ['drop', outer, wrong, back],
    ],
  );
  t.strictSame(rows[1]!.slice(8), ['192.0.2.1,10.244.1.5', '50001', '8472', '1']);
  t.strictSame(rows[6]!.slice(8), ['192.0.2.2,10.244.1.5', '50123', '8472', '1']);
  t.equal(rows[9]![11], '9');
});

t.test('vxlan over IPv6, a stranger without a peer', { skip: skipUnless('tshark') }, async t => {
  const six = [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 9];
  const { file } = capture(
    [{ frame: small, peer: 2, socket: 1 }],
    [{ frame: encapsulated(small), verdict: UNKNOWN_PEER, peer: -1, source: six }],
    { points: 2 | 16 },
  );
  const rows = tsharkFields(file, [...FIELDS, ...PROOF, 'ipv6.src', 'ipv6.dst', 'udp.srcport']);
  t.ok(rows.every(row => isGood(row, 4)));
  t.strictSame(rows[0]!.slice(8), ['2001:db8::1', '2001:db8::3', '50002']);
  t.strictSame(rows[1]!.slice(8), ['2001:db8::9', '2001:db8::1', '50000']);
  t.equal(rows[1]![2], 'drop: unknown-peer, the outer source address belongs to no peer');
});

t.test(
  'udp mode: bare packets inside and outside, flannel’s port at both ends',
  { skip: skipUnless('tshark') },
  async t => {
    const bare = ip(V6, 6, tcp({ from: 40000, to: 443, sequence: 1, flags: 2 }, new Uint8Array(0), V6));
    const { file, decoder } = capture(
      [{ frame: bare }],
      [{ frame: bare, port: 8285 }],
      { points: 15 },
      UDP_CONTEXT,
    );
    t.ok(decoder.interfaces.every(({ link }) => link === 101));
    const rows = tsharkFields(file, [...FIELDS.slice(0, 2), 'udp.srcport', 'udp.dstport', ...PROOF]);
    t.strictSame(
      rows.map(row => row.slice(0, 4)),
      [
        ['egress-inner', 'raw:ipv6:tcp', '', ''],
        ['egress-outer', 'raw:ip:udp:data', '8285', '8285'],
        ['ingress-outer', 'raw:ip:udp:data', '8285', '8285'],
        ['ingress-inner', 'raw:ipv6:tcp', '', ''],
      ],
    );
    t.ok(rows.every(row => isGood(row, 4)));
  },
);

t.test('GSO packets as seen, and --segments as on the wire', { skip: skipUnless('tshark') }, async t => {
  const asSeen = capture([{ ...big(20_000) }], [], { points: 3 });
  t.strictSame(
    asSeen.packets.map(packet => packet.length),
    [20_066, 20_066 + 50],
  );
  t.strictSame(asSeen.packets[0]!.comments, [
    'forward; peer node-b (192.0.2.2)',
    'GSO packet of 15 segments, 1398 bytes of payload each; partial checksums',
  ]);
  const { file, packets } = capture([{ ...big(20_000) }], [], { points: 3, segments: true });
  t.equal(packets.length, 30);
  const rows = tsharkFields(file, [...FIELDS.slice(0, 2), 'frame.len', ...PROOF, 'frame.comment']);
  t.ok(
    rows.every(row => isGood(row, 3)),
    'all checksums right',
  );
  const lengths = rows.map(row => Number(row[2]));
  const wire = [...Array(14).fill(1464), 494];
  t.strictSame(lengths, [...wire, ...wire.map(length => length + 50)]);
  t.ok(rows.every(row => row[7] === 'forward; peer node-b (192.0.2.2)'));
});

t.test('a GSO packet too large for one datagram is shown as the datagrams that it became', async t => {
  const { packets } = capture([{ ...big(65_480) }], [], { points: 3 });
  t.equal(packets.filter(packet => packet.interface === 0).length, 1);
  t.equal(packets.filter(packet => packet.interface === 1).length, Math.ceil(65_480 / 1398));
});

t.test(
  'snap length: packets are cut, not malformed, and lengths are those on the wire',
  { skip: skipUnless('tshark') },
  async t => {
    for (const segments of [false, true]) {
      const { file } = capture([{ ...big(3000) }, { frame: small }], [{ frame: encapsulated(small) }], {
        snapLength: 128,
        segments,
      });
      const rows = tsharkFields(file, [
        'frame.interface_name',
        'frame.len',
        'frame.cap_len',
        '_ws.malformed',
        'frame.protocols',
      ]);
      t.ok(
        rows.every(row => Number(row[2]) <= 128 && !row[3]),
        `segments ${segments}`,
      );
      const outer = rows.filter(row => row[0] === 'egress-outer' && Number(row[1]) > 200);
      t.strictSame(
        outer.map(row => Number(row[1])),
        segments ? [1514, 1514, 320] : [3066 + 50],
      );
      t.ok(outer.every(row => row[4]!.includes('vxlan:eth:ethertype:ip:tcp')));
    }
  },
);

t.test('what was lost, at every point that it had passed', async t => {
  const one = worker('egress', 8, 4096);
  one.want({ points: 19, snapLength: 0 });
  const decoder = new PacketDecoder(CONTEXT, { points: 19, snapLength: 0, segments: false });
  for (let i = 0; i < 40; i++)
    one.pass([{ frame: new Uint8Array(200), verdict: i % 4 === 0 ? NO_PEER : FORWARD }]);
  const kept = one.reader.take();
  one.pass([{ frame: new Uint8Array(200) }]);
  const [next] = one.reader.take();
  const dropped = 10 - kept.filter(({ verdict }) => verdict === NO_PEER).length;
  const lost = 40 - kept.length;
  t.strictSame(
    decoder.lost(next!).map(({ interface: index, packets }) => [decoder.interfaces[index]!.name, packets]),
    [
      ['egress-inner', lost],
      ['egress-outer', lost - dropped],
      ['drop', dropped],
    ],
  );
});

t.test('remote checksums: the header and the segments are those of the wire, on both sides', async t => {
  const segments = true;
  const agreed = { ...CONTEXT.peers[1]!, remoteChecksum: true };
  const peers = new PeerHistory({ generation: 1, peers: [null, agreed] });
  const frame = ethernet(ip(V4, 6, tcp({ from: 1, to: 2, sequence: 1, flags: 16 }, new Uint8Array(300), V4)));
  const decoder = new PacketDecoder(CONTEXT, { points: 6, snapLength: 0, segments });
  const packetsOf = (one: ReturnType<typeof worker>) => {
    const packets: Uint8Array[] = [];
    one.reader.visit((_worker, view, at, size, kind, lost) => {
      for (const { bytes } of decoder.packets(decodeRecord(view, at, size, kind, lost, peers)))
        packets.push(bytes);
    });
    return packets;
  };
  const egress = worker('egress');
  egress.want({ points: 2, snapLength: 0 });
  egress.pass([{ frame, offload: [1, 1, 100, 34, 16], segments: 3 }]);
  const sent = packetsOf(egress);
  t.equal(sent.length, 3);
  for (const bytes of sent) {
    t.strictSame([...bytes.subarray(42, 50)], [8, 0x20, 0, 0, 0, 0, 1, 17]);
    // The sum of the pseudo-header alone: 10.244.1.5, 10.244.2.9, protocol 6, length of the segment.
    const sum = 0x0af4 + 0x0105 + 0x0af4 + 0x0209 + 6 + (bytes.length - 50 - 34);
    t.equal((bytes[50 + 50]! << 8) | bytes[50 + 51]!, sum);
  }
  const ingress = worker('ingress');
  ingress.want({ points: 4, snapLength: 0 });
  const payload = joined([8, 0x20, 0, 0, 0, 0, 1, 17], frame);
  ingress.pass([{ frame: payload, offload: [1, 0, 0, 34, 16] }]);
  t.strictSame(packetsOf(ingress)[0]!.subarray(42), payload, 'a received checksum is not completed');
});

t.test('each point has its own time', async t => {
  const one = worker('egress');
  one.want({ points: 19, snapLength: 0 });
  const decoder = new PacketDecoder(CONTEXT, { points: 19, snapLength: 0, segments: false });
  one.pass([{ frame: small }, { frame: small, verdict: NO_PEER }], 5, 900_000, 40_000);
  const packets = one.reader.take().flatMap(record => decoder.packets(record));
  const first = packets[0]!.time;
  t.strictSame(
    packets.map(({ time }) => time - first),
    [0n, 40_000n, 0n, 900_000n],
  );
});

t.test('classic pcap takes the same packets', { skip: skipUnless('tshark') }, async t => {
  const { packets, decoder } = capture([{ frame: small }], []);
  const file = written(new PcapFormat(decoder.interfaces[0]!.link, 0), packets);
  t.strictSame(
    tsharkFields(file, ['frame.protocols', 'vxlan.vni']).map(row => row[1]),
    ['', '1'],
  );
});
