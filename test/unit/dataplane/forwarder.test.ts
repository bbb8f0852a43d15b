import t from 'tap';
import { openCounters } from '../../../src/dataplane/descriptor/counters.ts';
import { peerCount, verdictCount } from '../../../src/dataplane/descriptor/read-counters.ts';
import { VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';
import { forwardEgressBatch, forwardIngressBatch } from '../../../src/dataplane/fast-path/forwarder.ts';
import { requireAddress } from '../../../src/ip/address.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import type { LoopbackFrame } from '../../fixtures/io/loopback.ts';
import {
  type LoopbackOptions,
  loopbackForwarders,
  NODE1,
  NODE2,
} from '../../fixtures/io/loopback-forwarder.ts';
import { makePacket, type PacketShape } from '../../golden/packets.ts';

/*
 * The whole path without a kernel: what goes in at node 1, what comes out at node 2, and what is counted.
 */

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Frames through both directions: what was delivered, what was counted, what was answered. */
function carry(frames: readonly LoopbackFrame[], options: LoopbackOptions = {}) {
  const delivered: Uint8Array[] = [];
  const forwarders = loopbackForwarders(frames, { ...options, keep: frame => delivered.push(frame) });
  while (forwardEgressBatch(forwarders.egress) > 0);
  while (forwardIngressBatch(forwarders.ingress) > 0);
  const counters = openCounters(forwarders.counters);
  const counted: Record<string, number> = {};
  for (const [number, { name }] of VERDICTS.entries()) {
    const { frames: count } = verdictCount(counters, number);
    if (count > 0) counted[name] = count;
  }
  return { ...forwarders, delivered, counted, counters };
}

function packet(shape: Partial<PacketShape> = {}): Uint8Array {
  return makePacket({ family: 4, protocol: 17, payload: new Uint8Array(100), ...shape }).bytes;
}

/** The frame with some of its bytes changed. */
function patched(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const copy = frame.slice();
  copy.set(bytes, at);
  return copy;
}

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: frames of both families arrive as they left, counted by peer`, t => {
    const l3 = mode === 'vxlan' ? 14 : 0;
    const frames = [4, 6].flatMap(family =>
      [6, 17].map(protocol => packet({ family: family as 4 | 6, protocol: protocol as 6 | 17, l3 })),
    );
    const { delivered, counted, counters, writer } = carry(
      frames.map(bytes => ({ bytes })),
      { mode },
    );
    t.strictSame(delivered.map(hex), frames.map(hex));
    t.strictSame(counted, { forward: 8 }, 'four out, four in');
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    t.strictSame(peerCount(counters, writer.slots.of('node2')!).egress, { frames: 4, bytes });
    t.strictSame(peerCount(counters, writer.slots.of('node1')!).ingress, { frames: 4, bytes });
    t.end();
  });
}

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: a peer may send from its own underlay addresses, and from no one else's`, t => {
    const l3 = mode === 'vxlan' ? 14 : 0;
    const third = {
      id: 'node3',
      address: '192.0.2.3',
      mac: '02:00:00:00:00:03',
      subnets: ['10.244.3.0/24'].map(requirePrefix),
    };
    const peers = [
      { ...NODE1, hosts: ['192.0.2.1', 'fd31:9::1'].map(requireAddress) },
      NODE2,
      { ...third, hosts: ['fd31:9::3'].map(requireAddress) },
    ];
    const four = (...source: number[]) => patched(packet({ l3 }), l3 + 12, ...source);
    const six = (...end: number[]) =>
      patched(packet({ family: 6, l3 }), l3 + 8, 0xfd, 0x31, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...end);
    const verdictOf = (bytes: Uint8Array) => {
      const { counted } = carry([{ bytes }], { mode, peers });
      return Object.keys(counted).find(name => name !== 'forward') ?? `forward ${counted.forward}`;
    };
    t.equal(verdictOf(four(192, 0, 2, 1)), 'forward 2', 'its address, where nothing masquerades');
    t.equal(verdictOf(six(0, 1)), 'forward 2', 'and that of the other family');
    for (const last of [0, 2, 3, 255])
      t.equal(verdictOf(four(192, 0, 2, last)), 'spoofed-source', `192.0.2.${last}`);
    t.equal(verdictOf(four(0, 0, 0, 0)), 'spoofed-source');
    t.equal(verdictOf(six(0, 3)), 'spoofed-source', 'the address of another peer');
    const bare = carry([{ bytes: patched(packet({ family: 6, l3 }), l3 + 8, ...new Uint8Array(16)) }], {
      mode,
    });
    t.equal(bare.counted['spoofed-source'], 1, 'no address is not the address of a peer without one');
    const out = carry([{ bytes: patched(packet({ l3 }), l3 + 16, 192, 0, 2, 2) }], { mode, peers });
    if (mode === 'udp')
      t.strictSame(out.counted, { 'no-peer': 1 }, 'to its address nothing goes by the tunnel');
    t.end();
  });
}

t.test('egress: what does not go on says why', t => {
  const good = packet();
  const unknownMac = patched(good, 5, 9);
  const cases: [string, Uint8Array, string][] = [
    ['a MAC that no peer has', unknownMac, 'no-peer'],
    ['a broadcast', patched(good, 0, 255, 255, 255, 255, 255, 255), 'multicast'],
    ['an IPv4 multicast', patched(good, 0, 1, 0, 0x5e, 0, 0, 1), 'multicast'],
    ['a total length beyond the frame', patched(good, 16, 0xff, 0xff), 'egress-malformed'],
    ['version 5', patched(good, 14, 0x55), 'egress-malformed'],
    ['a frame of 13 bytes', good.slice(0, 13), 'egress-malformed'],
    ['a tag and nothing behind it', patched(good, 12, 0x81, 0x00).slice(0, 16), 'egress-malformed'],
    ['more than the path takes, with DF', packet({ payload: new Uint8Array(1500) }), 'too-big'],
    ['more than the path takes, IPv6', packet({ family: 6, payload: new Uint8Array(1500) }), 'too-big'],
  ];
  for (const [what, bytes, verdict] of cases) {
    const { delivered, counted } = carry([{ bytes }]);
    t.strictSame(counted, { [verdict]: 1 }, what);
    t.equal(delivered.length, 0, `${what}: nothing delivered`);
  }
  t.end();
});

t.test('udp: the longest prefix finds the peer, and what none owns is told', t => {
  const frame = (destination: number[]) => {
    const bytes = packet({ l3: 0 });
    return patched(bytes, 16, ...destination);
  };
  t.strictSame(carry([{ bytes: frame([10, 244, 2, 9]) }], { mode: 'udp' }).counted, { forward: 2 });
  const stranger = carry([{ bytes: frame([10, 250, 2, 9]) }], { mode: 'udp' });
  t.strictSame(stranger.counted, { 'no-peer': 1 });
  t.strictSame(carry([{ bytes: frame([224, 0, 0, 1]) }], { mode: 'udp' }).counted, { multicast: 1 });
  t.end();
});

t.test('slow path: answers unreachable, too big with the MTU, ARP', t => {
  const unreachable = carry([{ bytes: patched(packet(), 5, 9) }]);
  t.equal(unreachable.icmp.length, 1);
  t.strictSame([...unreachable.icmp[0]!.message.subarray(0, 2)], [3, 1], 'host unreachable');
  t.equal(hex(unreachable.icmp[0]!.destination), '00000000000000000000ffff0af40102', 'to the sender');
  const big = carry([{ bytes: packet({ payload: new Uint8Array(1500) }) }]);
  t.strictSame([...big.icmp[0]!.message.subarray(0, 2)], [3, 4], 'fragmentation needed');
  t.equal(
    new DataView(big.icmp[0]!.message.buffer, big.icmp[0]!.message.byteOffset).getUint16(6),
    1450,
    'next-hop MTU',
  );

  const arp = new Uint8Array(42);
  arp.set([
    255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 244,
    1, 0,
  ]);
  arp.set([10, 244, 2, 0], 38);
  const { counted, device } = carry([{ bytes: arp }]);
  t.strictSame(counted, { punt: 1 });
  t.equal(device.written.frames, 1, 'the answer went to the device that asked');
  t.strictSame(
    carry([{ bytes: patched(arp, 41, 77) }]).counted,
    { multicast: 1 },
    'no peer has that address',
  );
  t.end();
});

t.test('IPv4 without DF that is too big leaves by the socket that lets routers fragment', t => {
  const bytes = patched(packet({ payload: new Uint8Array(1500) }), 20, 0);
  const { counted } = carry([{ bytes }]);
  t.strictSame(counted, { forward: 1, oversized: 1 }, 'sent whole; the far gate knows its own MTU');
  t.end();
});

t.test('head-end replication copies to every peer', t => {
  const third = {
    id: 'node3',
    address: '192.0.2.3',
    mac: '02:00:00:00:00:03',
    subnets: ['10.244.3.0/24'].map(requirePrefix),
  };
  const bytes = patched(packet(), 0, 255, 255, 255, 255, 255, 255);
  const { counted, delivered } = carry([{ bytes }], { flood: true, peers: [NODE1, NODE2, third] });
  t.equal(counted.flood, 1);
  t.strictSame(
    delivered.map(hex),
    [hex(bytes), hex(bytes), hex(bytes)],
    'one wire carries the copies to all three',
  );
  t.end();
});

t.test('GSO packet: classified by its segments', t => {
  const big = makePacket({ family: 4, protocol: 6, payload: new Uint8Array(20000) });
  const frame = { bytes: big.bytes, offload: 1 | (1 << 8), csumStart: big.l4, csumOffset: 16 };
  t.equal(carry([{ ...frame, gsoSize: 1398 }]).counted.forward, 1, 'segments fit');
  t.strictSame(carry([{ ...frame, gsoSize: 1420 }]).counted, { 'too-big': 1 }, 'segments do not fit');
  t.end();
});

t.test('the inner flow decides the source port, steadily and widely', t => {
  const frames = Array.from({ length: 64 }, (_, flow) => ({ bytes: packet({ flow, protocol: 6 }) }));
  const { egress } = loopbackForwarders([...frames, ...frames]);
  forwardEgressBatch(egress);
  const first = Array.from({ length: 64 }, (_, i) => egress.batch.table[i * 16 + 8]);
  forwardEgressBatch(egress);
  const second = Array.from({ length: 64 }, (_, i) => egress.batch.table[i * 16 + 8]);
  t.strictSame(first, second, 'the same flow, the same port');
  t.ok(new Set(first).size >= 12, `64 flows over ${new Set(first).size} of 16 ports`);
  t.end();
});

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: only frames to this node's own subnets pass, so that no peer uses it as a relay`, t => {
    const l3 = mode === 'vxlan' ? 14 : 0;
    const wide = { ...NODE2, subnets: ['10.0.0.0/8', 'fd00::/16', '0.0.0.0/0', '::/0'].map(requirePrefix) };
    const verdictOf = (bytes: Uint8Array, subnets: readonly string[]) => {
      const ownSubnets = subnets.map(requirePrefix);
      const { counted } = carry([{ bytes }], { mode, peers: [NODE1, wide], ownSubnets });
      return Object.keys(counted).find(name => name !== 'forward') ?? `forward ${counted.forward}`;
    };
    const four = (...to: number[]) => patched(packet({ l3 }), l3 + 16, ...to);
    const six = (...to: number[]) => patched(packet({ family: 6, l3 }), l3 + 24, ...to);
    const own = ['10.244.2.0/23', 'fd00:2:0:8000::/49'];
    for (const [third, last] of [
      [2, 0],
      [2, 9],
      [3, 255],
    ] as const)
      t.equal(verdictOf(four(10, 244, third, last), own), 'forward 2', `10.244.${third}.${last}`);
    for (const to of [
      [10, 244, 1, 255],
      [10, 244, 4, 0],
      [8, 8, 8, 8],
      [192, 0, 2, 2],
    ])
      t.equal(verdictOf(four(...to), own), 'not-for-us', to.join('.'));
    t.equal(verdictOf(six(0xfd, 0, 0, 2, 0, 0, 0x80), own), 'forward 2');
    t.equal(verdictOf(six(0xfd, 0, 0, 2, 0, 0, 0x7f), own), 'not-for-us');
    t.equal(verdictOf(six(0x20, 1, 0xd, 0xb8), own), 'not-for-us');
    t.equal(verdictOf(four(8, 8, 8, 8), []), 'forward 2', 'without subnets every destination passes');
    t.equal(verdictOf(four(10, 244, 2, 9), ['10.244.2.9/32']), 'forward 2', 'a subnet of one address');
    t.equal(verdictOf(four(10, 244, 2, 8), ['10.244.2.9/32']), 'not-for-us');
    t.end();
  });
}
