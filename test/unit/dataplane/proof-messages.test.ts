import t from 'tap';
import { emitPacket } from '../../../encap/offload-proof.ts';
import { openCounters } from '../../../src/dataplane/descriptor/counters.ts';
import { peerCount, verdictCount } from '../../../src/dataplane/descriptor/read-counters.ts';
import {
  createRing,
  droppedRecords,
  nextRecord,
  openConsumer,
  openProducer,
  recordKind,
  recordLength,
} from '../../../src/dataplane/descriptor/ring.ts';
import { VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';
import { forwardEgressBatch, forwardIngressBatch } from '../../../src/dataplane/fast-path/forwarder.ts';
import { PeerSet } from '../../../src/dataplane/peer-set.ts';
import { PathMtus } from '../../../src/dataplane/slow-path/path-mtu.ts';
import { readPeer } from '../../../src/dataplane/tables/peer-table.ts';
import { TablesWriter } from '../../../src/dataplane/tables/writer.ts';
import { addressBytes } from '../../../src/ip/address.ts';
import { macBytes } from '../../../src/ip/mac.ts';
import { loopbackForwarders, NODE1, NODE2 } from '../../fixtures/io/loopback-forwarder.ts';

type Mode = 'vxlan' | 'udp';

/** A proof message of node 1 to node 2, as a frame. */
function message(mode: Mode, source: string, destination: string, place = 0, length = 200): Uint8Array {
  const packet = emitPacket({
    ...{ source: addressBytes(source), destination: addressBytes(destination) },
    message: { kind: 'train', nonce: new Uint8Array(16), place, length },
  });
  if (mode === 'udp') return packet;
  const type = packet[0]! >> 4 === 4 ? [8, 0] : [0x86, 0xdd];
  return Uint8Array.of(...macBytes(NODE2.mac!), ...macBytes(NODE1.mac!), ...type, ...packet);
}

/** Frames from node 1 to node 2. */
function carry(mode: Mode, frames: readonly Uint8Array[], ringBytes: number | undefined, strict = true) {
  const delivered: Uint8Array[] = [];
  const forwarders = loopbackForwarders(
    frames.map(bytes => ({ bytes })),
    { mode, strict, ownSubnets: NODE2.subnets, keep: frame => delivered.push(frame) },
  );
  const memory = createRing(ringBytes ?? 1024);
  const proofs = ringBytes === undefined ? undefined : openProducer(memory);
  while (forwardEgressBatch(forwarders.egress) > 0);
  while (forwardIngressBatch({ ...forwarders.ingress, proofs }) > 0);
  const counters = openCounters(forwarders.counters);
  const counted = Object.fromEntries(
    VERDICTS.map(({ name }, number) => [name, verdictCount(counters, number).frames]).filter(
      ([, count]) => count,
    ),
  );
  const ring = openConsumer(memory);
  const kept: [number, string][] = [];
  for (let at = nextRecord(ring); at >= 0; at = nextRecord(ring)) {
    const bytes = ring.bytes.slice(at, at + recordLength(ring, at));
    kept.push([recordKind(ring, at), Buffer.from(bytes).toString('hex')]);
  }
  const slot = forwarders.writer.slots.of(NODE1.id)!;
  return {
    delivered,
    counted,
    kept,
    slot,
    heard: peerCount(counters, slot).ingress,
    lost: droppedRecords(ring),
  };
}

const ADDRESSES = [
  ['10.244.1.0', '10.244.2.0'],
  ['fd00:1::', 'fd00:2::'],
] as const;

for (const mode of ['vxlan', 'udp'] as const)
  t.test(`${mode}: proof messages go to the control thread, not to the device`, async t => {
    const l3 = mode === 'vxlan' ? 14 : 0;
    const frames = ADDRESSES.flatMap(([from, to]) => [0, 1, 2].map(place => message(mode, from, to, place)));
    for (const strict of [true, false]) {
      const { delivered, counted, kept, slot, heard } = carry(mode, frames, 1 << 16, strict);
      t.same(delivered, []);
      t.same(counted, { forward: 6, 'offload-proof': 6 }, 'six out, six in');
      t.same(heard, { frames: 0, bytes: 0 }, 'they do not count as traffic of the peer');
      t.same(
        kept,
        frames.map(frame => [slot, Buffer.from(frame.subarray(l3)).toString('hex')]),
      );
    }
    const unread = carry(mode, frames, undefined);
    t.same([unread.delivered, unread.counted['offload-proof']], [[], 6], 'also without a ring');
    const full = carry(mode, frames, 1024);
    t.equal(full.counted['offload-proof'], 6, 'a full ring changes no verdict');
    t.ok(full.kept.length > 0 && full.kept.length + full.lost === 6);
  });

t.test('the source check comes first, and other packets of protocol 253 are forwarded', async t => {
  const good = message('vxlan', '10.244.1.0', '10.244.2.0');
  const other = good.slice();
  other[14 + 20 + 7]! ^= 1;
  const tcp = good.slice();
  tcp[14 + 9] = 6;
  const short = good.slice();
  short[14 + 3] = 20 + 31;
  const { delivered, counted, kept } = carry(
    'vxlan',
    [
      message('vxlan', '10.244.9.0', '10.244.2.0'),
      message('vxlan', '10.244.1.0', '10.244.2.0'),
      other,
      tcp,
      short,
    ],
    1 << 16,
  );
  t.same(counted, { forward: 5 + 3, 'spoofed-source': 1, 'offload-proof': 1 });
  t.equal(kept.length, 1);
  t.equal(delivered.length, 3, 'another magic, another protocol, too short for the header');
});

t.test('a peer without segmentation, until its address changes', async t => {
  const overlay = { mode: 'vxlan', vni: 1, port: 8472, underlayMtu: 1500, mtu: 1450 } as const;
  const writer = new TablesWriter({ peers: 8, macs: 8, prefixes: 16, readers: 1 }, overlay);
  const paths = new PathMtus();
  const set = new PeerSet({ address: '192.0.2.9', underlayMtu: 1500 }, writer, paths, () => t.fail('grows'));
  const has = () =>
    [NODE1, NODE2].map(({ id }) => readPeer(writer.view.peers, writer.slots.of(id)!)!.unsegmented);
  set.replace([NODE1, NODE2]);
  set.trackPaths();
  const { generation } = writer;
  t.same(has(), [false, false]);
  set.setSegmentation('node1', false);
  t.same(has(), [true, false]);
  t.ok(writer.generation > generation, 'workers see it');
  t.match(set.withPaths, [
    { id: 'node1', unsegmented: true },
    { id: 'node2', unsegmented: undefined },
  ]);
  set.replace([NODE1, NODE2]);
  t.same(has(), [true, false], 'it stays when the peers are set again');
  set.setSegmentation('node1', true);
  t.same(has(), [false, false]);
  set.setSegmentation('node2', false);
  set.change({ set: [{ ...NODE2, address: '192.0.2.77' }], removed: [] });
  t.same(has(), [false, false], 'another address is another path');
  set.setSegmentation('node2', false);
  set.change({ set: [], removed: ['node2'] });
  set.change({ set: [NODE2], removed: [] });
  t.same(has(), [false, false], 'a peer that comes again');
  set.setSegmentation('stranger', false);
  t.same(has(), [false, false]);
});
