import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { LINK_ETHERNET, LINK_RAW, type Packet } from '../../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import type { ReplayConfig } from '../../../../src/capture/replay/config.ts';
import * as reason from '../../../../src/capture/replay/reasons.ts';
import type { ReplayResult, ReplaySkip } from '../../../../src/capture/replay/replay.ts';
import { ReplayTally } from '../../../../src/capture/replay/report.ts';
import { VERDICTS } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { type Random, seeded } from '../../../fixtures/random.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { written } from '../fixtures/files.ts';
import { type Ends, ethernet, ip, joined, tcp, udp, V4, V6 } from '../fixtures/frames.ts';
import { rehearse, UDP_CONFIG, VXLAN_CONFIG } from '../fixtures/scripted.ts';

/* What of a capture is judged, and why the rest is not. Every packet has to be somewhere. */

const own = [2, 0, 0, 0, 0, 0x0a];
const peerMac = [2, 0, 0, 0, 0, 2];
const router = [2, 0, 0, 0, 9, 9];
const swap = ({ source, target }: Ends): Ends => ({ source: target, target: source });
const v6 = (last: number) => [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), last];
/** The nodes by family: this one is 1, the peer is 2. */
const node = (family: 4 | 6, last: number) => (family === 4 ? [192, 0, 2, last] : v6(last));
const toUs = (family: 4 | 6): Ends => ({ source: node(family, 2), target: node(family, 1) });

const segment = (ends: Ends, payload: number) =>
  ip(ends, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 0x10 }, new Uint8Array(payload), ends));
const framed = (target: readonly number[], source: readonly number[], packet: Uint8Array) =>
  joined(target, source, ethernet(packet).subarray(12));
/** The payload of one datagram from the peer. */
const inner = (mode: 'vxlan' | 'udp', payload: number, vni = 1) => {
  const packet = segment(swap(V4), payload);
  return mode === 'udp' ? packet : joined([8, 0, 0, 0, 0, 0, vni, 0], framed(own, peerMac, packet));
};
const outer = (mode: 'vxlan' | 'udp', body: Uint8Array, ends: Ends) =>
  ethernet(ip(ends, 17, udp(50000, mode === 'vxlan' ? 8472 : 8285, body, ends)));

const packetOf = (bytes: Uint8Array, more: Partial<Packet> = {}): Packet => ({
  interface: 0,
  time: 1n,
  bytes,
  length: bytes.length,
  ...more,
});
const nameOf = (outcome: ReplayResult | ReplaySkip) =>
  'skipped' in outcome ? outcome.skipped : VERDICTS[outcome.verdict]!.name;

/** What became of each packet of a capture, in order. */
async function outcomesOf(packets: readonly Packet[], link: number, config: ReplayConfig) {
  const { results, skips } = await rehearse(written(new PcapFormat(link, 0), packets), config);
  const outcomes = [...results, ...skips].sort(
    (a, b) => a.number - b.number || (a.part ?? 0) - (b.part ?? 0),
  );
  const tally = new ReplayTally();
  for (const outcome of outcomes) tally.add(outcome);
  return { outcomes, tally };
}

const configFor = (mode: 'vxlan' | 'udp', family: 4 | 6): ReplayConfig => {
  const config = mode === 'vxlan' ? VXLAN_CONFIG : UDP_CONFIG;
  if (family === 4) return config;
  const peers = config.peers.map(peer => ({ ...peer, address: '2001:db8::2' }));
  return { ...config, address: '2001:db8::1', peers };
};

for (const mode of ['vxlan', 'udp'] as const)
  for (const family of [4, 6] as const)
    t.test(`${mode} over IPv${family}: merged datagrams are cut and judged one by one`, async t => {
      const parts = [inner(mode, 62), inner(mode, 62), inner(mode, 62), inner(mode, 20)];
      const { outcomes, tally } = await outcomesOf(
        [
          packetOf(outer(mode, joined(...parts), toUs(family))),
          packetOf(outer(mode, inner(mode, 30), toUs(family))),
        ],
        LINK_ETHERNET,
        configFor(mode, family),
      );
      t.strictSame(
        outcomes.map(one => [one.number, one.part, nameOf(one)]),
        [
          [1, 1, 'forward'],
          [1, 2, 'forward'],
          [1, 3, 'forward'],
          [1, 4, 'forward'],
          [2, undefined, 'forward'],
        ],
      );
      t.equal(tally.lines()[0], '2 packets, 1 of them with 4 merged datagrams: 5 in all');
    });

t.test('a wrong datagram among merged ones is judged as it is, wherever it is', async t => {
  for (const wrong of [0, 1, 3]) {
    const parts = [0, 1, 2, 3].map(at => inner('vxlan', 60, at === wrong ? 9 : 1));
    const body = joined(...parts);
    const { outcomes } = await outcomesOf(
      [packetOf(outer('vxlan', body, toUs(4)))],
      LINK_ETHERNET,
      VXLAN_CONFIG,
    );
    t.strictSame(
      outcomes.map(nameOf),
      [0, 1, 2, 3].map(at => (at === wrong ? 'wrong-vni' : 'forward')),
    );
  }
  const padded = joined(inner('vxlan', 0), new Uint8Array(2));
  const { outcomes } = await outcomesOf(
    [packetOf(outer('vxlan', padded, toUs(4)))],
    LINK_ETHERNET,
    VXLAN_CONFIG,
  );
  t.strictSame(outcomes.map(nameOf), ['forward'], 'padding is not a datagram');
});

t.test('vxlan on an underlay: foreign packets are told apart from lost ones', async t => {
  const ssh = segment({ source: [198, 51, 100, 7], target: [192, 0, 2, 1] }, 10);
  const whole = ip(toUs(4), 17, udp(50000, 8472, inner('vxlan', 1400), toUs(4)));
  const fragment = (offset: number, more: boolean) => {
    const bytes = joined(whole.subarray(0, 20), whole.subarray(20 + offset * 8, more ? 20 + 728 : undefined));
    bytes.set([(more ? 0x20 : 0) | (offset >> 8), offset & 255], 6);
    bytes.set([bytes.length >> 8, bytes.length & 255], 2);
    return ethernet(bytes);
  };
  const datagram = udp(50000, 8472, inner('vxlan', 10), toUs(6));
  const optional = ip(toUs(6), 60, joined([17, 0, 1, 4, 0, 0, 0, 0], datagram));
  const arp = joined([255, 255, 255, 255, 255, 255], router, [8, 6], new Uint8Array(28));
  const { outcomes } = await outcomesOf(
    [
      framed(peerMac, own, segment(V4, 10)),
      framed(own, peerMac, segment(swap(V4), 10)),
      framed(router, [2, 0, 0, 0, 9, 8], ssh),
      arp,
      fragment(0, true),
      fragment(91, false),
      outer('vxlan', inner('vxlan', 10), { source: [192, 0, 2, 1], target: [192, 0, 2, 2] }),
      outer('vxlan', inner('vxlan', 10), { source: [192, 0, 2, 3], target: [192, 0, 2, 4] }),
      framed(router, [2, 0, 0, 0, 9, 8], segment(V4, 10)),
    ].map(bytes => packetOf(bytes)),
    LINK_ETHERNET,
    VXLAN_CONFIG,
  );
  t.strictSame(outcomes.map(nameOf), [
    'forward',
    reason.OUTPUT,
    reason.OUTSIDE_THE_TUNNEL,
    reason.OUTSIDE_THE_TUNNEL,
    reason.FRAGMENT,
    reason.FRAGMENT,
    reason.OUTPUT,
    reason.BETWEEN_OTHERS,
    reason.UNKNOWN_MACS,
  ]);
  const six = await outcomesOf([packetOf(ethernet(optional))], LINK_ETHERNET, configFor('vxlan', 6));
  t.strictSame(six.outcomes.map(nameOf), ['forward'], 'destination options are walked over');
});

t.test('udp mode: the device, its answers, and `any` with every interface', async t => {
  const device = await outcomesOf(
    [segment(V4, 1), segment(swap(V4), 1)].map(bytes => packetOf(bytes)),
    LINK_RAW,
    UDP_CONFIG,
  );
  t.strictSame(device.outcomes.map(nameOf), ['forward', reason.THE_WAY_BACK]);
  const cooked = (hardware: number, type: number, packet: Uint8Array) =>
    packetOf(
      joined([8, 0, 0, 0, 0, 0, 0, 3, hardware >> 8, hardware & 255, type, 6], new Uint8Array(8), packet),
    );
  const carried = ip(toUs(4), 17, udp(8285, 8285, segment(swap(V4), 1), toUs(4)));
  const sent = { source: toUs(4).target, target: toUs(4).source };
  const any = await outcomesOf(
    [
      cooked(1, 0, segment(V4, 1)), // the pod's veth
      cooked(1, 0, segment(V4, 1)), // the bridge
      cooked(0xfffe, 4, segment(V4, 1)), // the device
      cooked(1, 4, ip(sent, 17, udp(8285, 8285, segment(V4, 1), sent))),
      cooked(1, 0, carried),
      cooked(0xfffe, 0, segment(swap(V4), 1)),
      cooked(1, 4, segment(swap(V4), 1)),
      cooked(1, 0, segment({ source: [198, 51, 100, 7], target: [192, 0, 2, 1] }, 10)),
    ],
    276,
    UDP_CONFIG,
  );
  t.strictSame(any.outcomes.map(nameOf), [
    reason.OTHER_INTERFACE,
    reason.OTHER_INTERFACE,
    'forward',
    reason.OUTPUT,
    'forward',
    reason.THE_WAY_BACK,
    reason.OTHER_INTERFACE,
    reason.OUTSIDE_THE_TUNNEL,
  ]);
});

t.test('link types: those that begin with IP are read, others are named', async t => {
  for (const link of [12, 14, 101, 228])
    t.strictSame((await outcomesOf([packetOf(segment(V4, 1))], link, UDP_CONFIG)).outcomes.map(nameOf), [
      'forward',
    ]);
  for (const link of [0, 108]) {
    const packet = packetOf(joined([0, 0, 0, 2], segment(V4, 1)));
    t.strictSame((await outcomesOf([packet], link, UDP_CONFIG)).outcomes.map(nameOf), ['forward']);
  }
  const radio = await outcomesOf([packetOf(segment(V4, 1))], 127, UDP_CONFIG);
  t.strictSame(radio.outcomes.map(nameOf), ['link type 127 (IEEE802_11_RADIOTAP) is not supported']);
  const cooked = await outcomesOf(
    [packetOf(joined([8, 0], new Uint8Array(18), segment(V4, 1)))],
    276,
    VXLAN_CONFIG,
  );
  t.match(cooked.outcomes.map(nameOf), [/link type 276 \(LINUX_SLL2\): no Ethernet header/]);
});

t.test('datagrams that the kernel drops, and tags of cooked captures, have reasons of their own', async t => {
  const datagram = ip(toUs(4), 17, udp(50000, 8472, inner('vxlan', 10), toUs(4)));
  const changed = (at: number, ...bytes: number[]) => {
    const copy = datagram.slice();
    copy.set(bytes, at);
    return packetOf(framed(router, [2, 0, 0, 0, 9, 8], copy));
  };
  const broken = await outcomesOf(
    [
      changed(24, 0, 0),
      changed(24, 0, 7),
      changed(24, 0xff, 0xff),
      changed(2, 0, 30),
      changed(2, 0, 0),
      changed(0, 0x41),
    ],
    LINK_ETHERNET,
    VXLAN_CONFIG,
  );
  t.strictSame(broken.outcomes.map(nameOf), Array(6).fill(reason.MALFORMED));
  const tagged = joined([0, 0, 0, 1, 0, 6], new Uint8Array(8), [0x81, 0, 0, 5, 8, 0], datagram);
  const cooked = await outcomesOf([packetOf(tagged)], 113, VXLAN_CONFIG);
  t.strictSame(cooked.outcomes.map(nameOf), [reason.TAGGED]);

  const six = udp(50000, 8472, inner('vxlan', 10), toUs(6));
  const fragment = (...offset: number[]) =>
    packetOf(ethernet(ip(toUs(6), 44, joined([17, 0, ...offset, 0, 0, 0, 9], six))));
  const parts = [fragment(0, 0), fragment(0, 1), fragment(0, 0xb8)];
  const { outcomes } = await outcomesOf(parts, LINK_ETHERNET, configFor('vxlan', 6));
  t.strictSame(
    outcomes.map(nameOf),
    ['forward', reason.FRAGMENT, reason.FRAGMENT],
    'RFC 6946: a whole packet',
  );
});

t.test('headers that a snap length cut off do not decide', { skip: skipUnless('editcap') }, async t => {
  const folder = t.testdir();
  const frames = [outer('vxlan', inner('vxlan', 400), toUs(4)), framed(peerMac, own, segment(V4, 400))];
  writeFileSync(
    `${folder}/whole.pcap`,
    written(
      new PcapFormat(LINK_ETHERNET, 0),
      frames.map(one => packetOf(one)),
    ),
  );
  for (const [snap, expected] of [
    [20, [reason.SNAP_LENGTH, reason.SNAP_LENGTH]],
    [40, [reason.SNAP_LENGTH, 'forward']],
    [68, [reason.SNAP_LENGTH, 'forward']],
    [84, ['forward', 'forward']],
  ] as const) {
    execFileSync('editcap', ['-s', String(snap), `${folder}/whole.pcap`, `${folder}/cut.pcap`]);
    const { results, skips } = await rehearse(readFileSync(`${folder}/cut.pcap`));
    const outcomes = [...results, ...skips].sort((a, b) => a.number - b.number);
    t.strictSame(outcomes.map(nameOf), expected, `${snap} bytes`);
  }
});

t.test('the points of one section do not hide packets of another', async t => {
  const file = (name: string) =>
    written(new PcapngFormat([{ name, link: LINK_ETHERNET, snapLength: 0 }], { application: 'ripstop' }), [
      packetOf(framed([2, 0, 0, 0, 0, 99], own, segment(V4, 1)), { direction: 'out' }),
    ]);
  const { results, skips } = await rehearse(joined(file('egress-inner'), file('drop')));
  t.strictSame([results.length, skips], [2, []]);
});

t.test(
  'partial checksums: with a peer that completes them they stay so, and the header says where',
  async t => {
    const packet = segment(V4, 30);
    const whole = packet.slice();
    // A device hands over the sum of the pseudo-header alone.
    const total = [10 * 256 + 244, 256 + 5, 10 * 256 + 244, 2 * 256 + 9, 6, packet.length - 20].reduce(
      (a, b) => a + b,
    );
    const pseudo = (total & 0xffff) + (total >> 16);
    packet.set([pseudo >> 8, pseudo & 255], 36);
    const file = written(new PcapFormat(LINK_ETHERNET, 0), [packetOf(framed(peerMac, own, packet))]);
    const peers = VXLAN_CONFIG.peers.map(peer => ({ ...peer, remoteChecksum: true }));
    const sentBy = async (config: ReplayConfig) =>
      (await rehearse(file, config)).results[0]!.outputs[0]!.bytes;
    const [plain, remote] = [await sentBy(VXLAN_CONFIG), await sentBy({ ...VXLAN_CONFIG, peers })];
    t.strictSame([...plain.subarray(42, 50)], [8, 0, 0, 0, 0, 0, 1, 0]);
    t.strictSame(plain.subarray(64), whole);
    t.strictSame([...remote.subarray(42, 50)], [8, 0x20, 0, 0, 0, 0, 1, 17]);
    t.strictSame(remote.subarray(64), packet);
  },
);

/** A random packet with what has to become of its datagrams when all of it was captured. */
function randomCase(random: Random, mode: 'vxlan' | 'udp', family: 4 | 6): [Uint8Array, string[]] {
  const ends = random.pick([V4, V6]);
  switch (random.between(0, 5)) {
    case 0: {
      const size = random.between(0, 300);
      const count = random.between(2, 9);
      const kinds = Array.from({ length: count }, () => (mode === 'vxlan' && random.chance(0.2) ? 9 : 1));
      const parts = kinds.map(vni => inner(mode, size, vni));
      return [
        outer(mode, joined(...parts), toUs(family)),
        kinds.map(vni => (vni === 1 ? 'forward' : 'wrong-vni')),
      ];
    }
    case 1:
      return [outer(mode, inner(mode, random.between(0, 1000)), toUs(family)), ['forward']];
    case 2:
      return [outer(mode, inner(mode, 9), swap(toUs(family))), [reason.OUTPUT]];
    case 3:
      return [framed(peerMac, own, segment(ends, random.between(0, 900))), ['forward']];
    case 4:
      return [
        framed(own, peerMac, segment(swap(ends), 9)),
        [mode === 'vxlan' ? reason.OUTPUT : reason.THE_WAY_BACK],
      ];
    default: {
      const other = random.pick([
        segment({ source: [198, 51, 100, 7], target: [192, 0, 2, 1] }, 10),
        segment({ source: v6(9), target: v6(1) }, 10),
      ]);
      return [framed(router, [2, 0, 0, 0, 9, 8], other), [reason.OUTSIDE_THE_TUNNEL]];
    }
  }
}

for (const mode of ['vxlan', 'udp'] as const)
  for (const family of [4, 6] as const)
    t.test(`${mode} over IPv${family}: no packet of random captures vanishes`, async t => {
      const random = seeded(t, 180 + family);
      const config = configFor(mode, family);
      for (let round = 0; round < 12; round++) {
        const cases = Array.from({ length: random.between(1, 20) }, () => randomCase(random, mode, family));
        const snap = random.pick([0, 0, 14, 34, 54, 68, 84, 96, 128, 200]);
        const packets = cases.map(([bytes]) =>
          packetOf(bytes.subarray(0, snap || undefined), { length: bytes.length }),
        );
        const { outcomes, tally } = await outcomesOf(packets, LINK_ETHERNET, config);
        const sum = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0);
        t.equal(tally.packets, packets.length);
        t.equal(sum(tally.verdicts) + sum(tally.notJudged), tally.inputs);
        for (const [index, [, expected]] of cases.entries()) {
          const seen = outcomes.filter(one => one.number === index + 1).map(nameOf);
          const isRight = (name: string | undefined, at: number) =>
            name === expected[at] || name === reason.SNAP_LENGTH;
          if (snap === 0) t.strictSame(seen, expected);
          else t.ok(seen.length > 0 && seen.every(isRight), `snap ${snap}: ${seen} for ${expected}`);
        }
      }
    });
