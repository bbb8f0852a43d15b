import t from 'tap';
import { LINK_ETHERNET, LINK_RAW } from '../../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import { NO_STATISTICS, written } from '../fixtures/files.ts';
import { ethernet, ip, joined, tcp, V4, V6, vxlan } from '../fixtures/frames.ts';
import { readWith, tsharkFields } from '../fixtures/tshark.ts';

const inner4 = ethernet(
  ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 9, flags: 0x18 }, Uint8Array.of(1, 2, 3), V4)),
);
const inner6 = ip(V6, 6, tcp({ from: 40000, to: 443, sequence: 9, flags: 2 }, new Uint8Array(0), V6));

t.test(
  'tshark reads our pcapng: nothing malformed, VXLAN decoded, comments and interfaces shown',
  async t => {
    const format = new PcapngFormat(
      [
        { link: LINK_ETHERNET, snapLength: 0, name: 'egress-outer' },
        { link: LINK_RAW, snapLength: 0, name: 'drop' },
      ],
      { application: 'ripstop 0.1.0', comments: ['mode vxlan'] },
    );
    const datagram = vxlan(inner4, 42);
    const file = written(
      format,
      [
        {
          interface: 0,
          time: 1_790_000_000_123_456_789n,
          bytes: datagram,
          length: datagram.length,
          direction: 'out',
          comments: ['forward to node-b'],
        },
        {
          interface: 1,
          time: 1_790_000_001_000_000_001n,
          bytes: inner6,
          length: inner6.length,
          direction: 'in',
          dropped: 7n,
        },
      ],
      [
        { ...NO_STATISTICS, received: 10n, dropped: 2n, ended: 1_790_000_001_000_000_001n },
        { ...NO_STATISTICS, received: 1n, dropped: 7n },
      ],
    );
    const rows = tsharkFields(file, [
      'frame.interface_name',
      'frame.time_epoch',
      'frame.protocols',
      'frame.comment',
      'frame.packet_flags_direction',
      'vxlan.vni',
      'tcp.dstport',
      'tcp.checksum.status',
      'udp.checksum.status',
      '_ws.malformed',
      '_ws.expert.severity',
      'frame.drop_count',
    ]);
    t.strictSame(rows[0]!.slice(0, 10), [
      'egress-outer',
      '1790000000.123456789',
      'eth:ethertype:ip:udp:vxlan:eth:ethertype:ip:tcp',
      'forward to node-b',
      '0x00000002',
      '42',
      '80',
      '1',
      '1',
      '',
    ]);
    t.strictSame(rows[1]!.slice(0, 8), [
      'drop',
      '1790000001.000000001',
      'raw:ipv6:tcp',
      '',
      '0x00000001',
      '',
      '443',
      '1',
    ]);
    const info = readWith(file, 'capinfos', ['FILE']);
    t.match(info, /File timestamp precision:\s+nanoseconds/);
    t.match(info, /Number of interfaces in file:\s+2/);
    t.match(info, /Capture application:\s+ripstop 0\.1\.0/);
    t.match(info, /Number of stat entries = 1/);
  },
);

t.test('tcpdump reads our pcap and our pcapng', async t => {
  const packet = { interface: 0, time: 1_790_000_000_123_456_789n, bytes: inner6, length: inner6.length };
  for (const format of [
    new PcapFormat(LINK_RAW, 0),
    new PcapngFormat([{ link: LINK_RAW, snapLength: 0 }], { application: 'x' }),
  ]) {
    const text = readWith(written(format, [packet]), 'tcpdump', ['--nano', '-tt', '-nvr', 'FILE']);
    t.match(
      text,
      /^1790000000\.123456789 IP6 .*fd00:1::5\.40000 > fd00:2::9\.443: Flags \[S\], cksum 0x[0-9a-f]{4} \(correct\)/,
    );
  }
});

t.test('a cut packet is short, not malformed', async t => {
  const datagram = vxlan(inner4, 1);
  const cut = { interface: 0, time: 1n, bytes: joined(datagram.subarray(0, 96)), length: datagram.length };
  const format = new PcapngFormat([{ link: LINK_ETHERNET, snapLength: 96 }], { application: 'x' });
  const rows = tsharkFields(written(format, [cut]), [
    'frame.len',
    'frame.cap_len',
    'vxlan.vni',
    '_ws.malformed',
  ]);
  t.strictSame(
    rows,
    [[String(datagram.length), '96', '1']].map(row => [...row, '']),
  );
});
