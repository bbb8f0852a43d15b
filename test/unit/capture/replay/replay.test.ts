import t from 'tap';
import { PacketDecoder } from '../../../../src/capture/decode/packet-decoder.ts';
import { describePacket } from '../../../../src/capture/decode/text.ts';
import { LINK_ETHERNET, LINK_RAW, type Packet } from '../../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import type { ReplayConfig } from '../../../../src/capture/replay/config.ts';
import {
  changeLines,
  differs,
  ReplayTally,
  resultInterfaces,
  resultLine,
  resultPackets,
} from '../../../../src/capture/replay/report.ts';
import {
  FORWARD,
  MULTICAST,
  NO_PEER,
  NOT_FOR_US,
  PUNT,
  SPOOFED_SOURCE,
  TOO_BIG,
  UNKNOWN_PEER,
  VERDICTS,
  WRONG_VNI,
} from '../../../../src/dataplane/descriptor/verdicts.ts';
import { Random } from '../../../fixtures/random.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { written } from '../fixtures/files.ts';
import {
  type Ends,
  ethernet,
  ip,
  joined,
  randomPacket,
  tcp,
  udp,
  V4,
  V6,
  vxlan,
} from '../fixtures/frames.ts';
import { OTHER_SUBNET, rehearse, UDP_CONFIG, VXLAN_CONFIG } from '../fixtures/scripted.ts';
import { CONTEXT, worker } from '../fixtures/tapped.ts';
import { tsharkFields } from '../fixtures/tshark.ts';

const swap = ({ source, target }: Ends): Ends => ({ source: target, target: source });
const syn = (ends: Ends, payload = 0) =>
  ip(
    ends,
    6,
    tcp({ from: 40000, to: 80, sequence: 1, flags: payload ? 0x18 : 2 }, new Uint8Array(payload), ends),
  );
const own = [2, 0, 0, 0, 0, 0x0a];
const peerMac = [2, 0, 0, 0, 0, 2];
/** From our VTEP to the peer's, and back. */
const out = (packet: Uint8Array) => joined(peerMac, own, ethernet(packet).subarray(12));
const back = (packet: Uint8Array) => joined(own, peerMac, ethernet(packet).subarray(12));
const inward = { source: [192, 0, 2, 2], target: [192, 0, 2, 1] };
const datagram = (frame: Uint8Array, vni = 1, from = inward) => vxlan(frame, vni, from);

const T0 = 1_790_000_000_000_000_000n;
const packets = (...frames: Uint8Array[]): Packet[] =>
  frames.map((bytes, i) => ({
    interface: 0,
    time: T0 + BigInt(i) * 1_000_000n,
    bytes,
    length: bytes.length,
  }));
const pcap = (...frames: Uint8Array[]) => written(new PcapFormat(LINK_ETHERNET, 0), packets(...frames));

t.test('egress and ingress of a tcpdump file, each packet with its verdict, peer and output', async t => {
  const stranger = { source: [10, 9, 9, 9], target: V4.target };
  const file = pcap(
    out(syn(V4)),
    out(syn(V6)),
    joined([2, 0, 0, 0, 0, 99], own, ethernet(syn(V4)).subarray(12)),
    joined([255, 255, 255, 255, 255, 255], own, ethernet(syn(V4)).subarray(12)),
    datagram(back(syn(swap(V4)))),
    datagram(back(syn(stranger))),
    datagram(back(syn(swap(V4))), 7),
    datagram(back(syn(swap(V4))), 1, { source: [192, 0, 2, 66], target: [192, 0, 2, 1] }),
    datagram(joined([2, 0, 0, 0, 0, 77], peerMac, ethernet(syn(swap(V4))).subarray(12))),
    datagram(out(syn(V4)), 1, { source: [192, 0, 2, 1], target: [192, 0, 2, 2] }),
    back(syn(swap(V4))),
  );
  const { results, skips } = await rehearse(file);
  t.strictSame(
    results.map(({ number, direction, verdict, peer, outputs }) => [
      number,
      direction,
      verdict,
      peer,
      outputs.length,
    ]),
    [
      [1, 'egress', FORWARD, 'node-b', 1],
      [2, 'egress', FORWARD, 'node-b', 1],
      [3, 'egress', NO_PEER, undefined, 1],
      [4, 'egress', MULTICAST, undefined, 0],
      [5, 'ingress', FORWARD, 'node-b', 1],
      [6, 'ingress', SPOOFED_SOURCE, 'node-b', 0],
      [7, 'ingress', WRONG_VNI, 'node-b', 0],
      [8, 'ingress', UNKNOWN_PEER, undefined, 0],
      [9, 'ingress', NOT_FOR_US, 'node-b', 0],
    ],
  );
  t.strictSame(skips, [
    { number: 10, skipped: 'output of the captured forwarder' },
    { number: 11, skipped: 'output of the captured forwarder' },
  ]);
  t.equal(results[2]!.outputs[0]!.kind, 'icmp', 'the sender would be told');
  t.strictSame(results[4]!.outputs[0], {
    kind: 'frame',
    bytes: back(syn(swap(V4))),
    length: back(syn(swap(V4))).length,
  });
  t.equal(results[0]!.text, '10.244.1.5.40000 > 10.244.2.9.80: TCP Flags [S], seq 1, win 500, length 0');
  t.match(resultLine(results[2]!, T0), /^ +3 +0\.002000 {2}egress {3}no-peer +- +1 {2}10\.244/);
});

t.test(
  'a frame above the MTU is the GSO packet that it was; one with DF that no offload explains is too big',
  async t => {
    const big = syn(V4, 5000);
    const bigUdp = ip(V4, 17, udp(1, 2, new Uint8Array(3000), V4));
    const { results } = await rehearse(pcap(out(big), out(bigUdp)));
    t.strictSame(
      results.map(result => [result.verdict, result.outputs.length]),
      [
        [FORWARD, 4],
        [TOO_BIG, 1],
      ],
    );
    t.ok(results[0]!.outputs.every(output => output.bytes.length <= 1514));
    t.equal(results[1]!.outputs[0]!.kind, 'icmp');
  },
);

t.test('an ARP question is answered to the device', async t => {
  const arp = joined(
    [255, 255, 255, 255, 255, 255],
    own,
    [8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
    own,
    [10, 244, 1, 0],
    [0, 0, 0, 0, 0, 0],
    [10, 244, 2, 0],
  );
  const { results } = await rehearse(pcap(arp));
  t.equal(results[0]!.verdict, PUNT);
  t.equal(results[0]!.text, 'ARP Request who-has 10.244.2.0 tell 10.244.1.0');
  t.equal(results[0]!.outputs.length, 1);
  t.equal(
    describePacket(results[0]!.outputs[0]!.bytes, 'ethernet'),
    'ARP Reply 10.244.2.0 is-at 02:00:00:00:00:02',
  );
});

t.test('outputs as a capture: right checksums, VXLAN, comments', { skip: skipUnless('tshark') }, async t => {
  const { results } = await rehearse(
    pcap(out(syn(V4, 3000)), datagram(back(syn(swap(V6)))), datagram(back(syn(V4)), 9)),
  );
  const file = written(
    new PcapngFormat(resultInterfaces('vxlan'), { application: 'ripstop' }),
    results.flatMap(result => resultPackets(result)),
  );
  const rows = tsharkFields(file, [
    'frame.interface_name',
    'frame.comment',
    'udp.checksum.status',
    'tcp.checksum.status',
    '_ws.malformed',
    'udp.dstport',
  ]);
  t.strictSame(rows, [
    ...Array(3).fill(['egress-outer', 'packet 1: forward', '1', '1', '', '8472']),
    ['ingress-inner', 'packet 2: forward', '', '1', '', ''],
    ['drop', 'packet 3: wrong-vni (another VXLAN network identifier than ours)', '', '1', '', ''],
  ]);
});

t.test('udp mode, from Ethernet, raw and cooked captures', async t => {
  const inner = syn(V4);
  const carried = ip(inward, 17, udp(8285, 8285, syn(swap(V4)), inward));
  const verdictsOf = async (link: number, ...frames: Uint8Array[]) =>
    (await rehearse(written(new PcapFormat(link, 0), packets(...frames)), UDP_CONFIG)).results.map(
      ({ direction, verdict, outputs }) => [direction, verdict, outputs[0]?.bytes.length],
    );
  const expected = [
    ['egress', FORWARD, inner.length + 28],
    ['ingress', FORWARD, inner.length],
  ];
  t.strictSame(await verdictsOf(LINK_RAW, inner, carried), expected);
  t.strictSame(await verdictsOf(LINK_ETHERNET, ethernet(inner), ethernet(carried)), expected);
  const sll = (packet: Uint8Array) => joined(new Uint8Array(14), [8, 0], packet);
  const sll2 = (packet: Uint8Array) => joined([8, 0], new Uint8Array(18), packet);
  t.strictSame(await verdictsOf(113, sll(inner), sll(carried)), expected);
  t.strictSame(await verdictsOf(276, sll2(inner), sll2(carried)), expected);
});

t.test('our own captures: inputs are replayed once, whatever points the file has', async t => {
  for (const [points, expected] of [
    [31, [2, 2]],
    [1 | 4, [2, 2]],
    [16, [1, 1]],
    [2 | 8, [0, 0]],
  ] as const) {
    const decoder = new PacketDecoder(CONTEXT, { points, snapLength: 0, segments: false });
    const [egress, ingress] = [worker('egress'), worker('ingress')];
    for (const one of [egress, ingress]) one.want({ points, snapLength: 0 });
    egress.pass([{ frame: out(syn(V4)) }, { frame: out(syn(V4)), verdict: NO_PEER }]);
    const wrapped = (vni: number) => joined([8, 0, 0, 0, 0, 0, vni, 0], back(syn(swap(V4))));
    ingress.pass([{ frame: wrapped(1) }, { frame: wrapped(9), verdict: WRONG_VNI }]);
    const taken = [egress, ingress]
      .flatMap(one => one.reader.take())
      .flatMap(record => decoder.packets(record));
    const { results } = await rehearse(
      written(new PcapngFormat(decoder.interfaces, { application: 'ripstop' }), taken),
    );
    const count = (way: string) => results.filter(result => result.direction === way).length;
    t.strictSame([count('egress'), count('ingress')], expected, `points ${points}`);
  }
});

t.test('two configurations: what would change, and why', async t => {
  const file = pcap(...Array(14).fill(datagram(back(syn(swap(V4))))), out(syn(V4)), out(syn(V6)));
  const before = (await rehearse(file)).results;
  const changed = async (config: ReplayConfig) => {
    const after = (await rehearse(file, config)).results;
    const differences = before.flatMap((result, i) =>
      differs(result, after[i]!) ? [{ before: result, after: after[i]! }] : [],
    );
    return changeLines(differences);
  };
  t.strictSame(await changed(VXLAN_CONFIG), []);
  t.strictSame(await changed({ ...VXLAN_CONFIG, vni: 2 }), [
    '14 packets would now be dropped, forward before: wrong-vni (another VXLAN network identifier than ours) (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …)',
    '2 packets would be forward as before, with other bytes on the wire (15, 16)',
  ]);
  t.strictSame(await changed(OTHER_SUBNET), [
    '14 packets would now be dropped, forward before: spoofed-source (the inner source address or MAC does not belong to the peer that sent it) (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …)',
  ]);
  const tally = new ReplayTally();
  for (const result of before) tally.add(result);
  tally.add({ number: 17, skipped: 'not an IP packet' });
  t.strictSame(tally.lines(), ['17 packets', '  16 forward', '  1 not judged: not an IP packet']);
});

t.test('deterministic: two runs over random traffic are equal', async t => {
  const random = new Random(76);
  const frames = Array.from({ length: 400 }, () => {
    const frame = randomPacket(random, 'ethernet');
    if (random.chance(0.5)) frame.set(random.pick([own, peerMac, [2, 0, 0, 0, 0, 99]]), 0);
    if (random.chance(0.5)) frame.set(own, 6);
    return random.chance(0.4) ? datagram(frame, random.between(1, 2)) : frame;
  });
  const file = pcap(...frames);
  const [first, second] = [await rehearse(file), await rehearse(file)];
  t.strictSame(first, second);
  const met = new Set(first.results.map(result => VERDICTS[result.verdict]!.name));
  t.ok(met.size >= 5, [...met].join(' '));
});

t.test('hostile captures: every packet ends somewhere, none throws', async t => {
  const random = new Random(77);
  const seeds = [out(syn(V4, 200)), datagram(back(syn(swap(V6)))), datagram(back(syn(swap(V4))))];
  const frames: Packet[] = Array.from({ length: 3000 }, (_, i) => {
    const bytes = random.pick(seeds).slice(0, random.between(0, 400));
    for (let flips = random.between(0, 8); flips > 0 && bytes.length > 0; flips--)
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
    const length = random.chance(0.1) ? random.pick([65557, 65558, 0xffffffff]) : bytes.length;
    return { interface: 0, time: BigInt(i), bytes, length };
  });
  for (const [link, config] of [
    [LINK_ETHERNET, VXLAN_CONFIG],
    [LINK_RAW, VXLAN_CONFIG],
    [LINK_ETHERNET, UDP_CONFIG],
    [LINK_RAW, UDP_CONFIG],
    [113, UDP_CONFIG],
  ] as const) {
    const { results, skips } = await rehearse(written(new PcapFormat(link, 0), frames), config);
    t.equal(results.length + skips.length, frames.length);
    t.ok(results.every(result => result.verdict > 0 && result.verdict < VERDICTS.length));
  }
});
