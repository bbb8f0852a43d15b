import t from 'tap';
import {
  createBatch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_PEER,
  DESC_SOCKET,
  DESC_STRIDE,
  SOCKET_CLASS_SHIFT,
  SOCKET_MASK,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import type { Peer } from '../../../src/dataplane/descriptor/peer.ts';
import { FLOOD, FORWARD } from '../../../src/dataplane/descriptor/verdicts.ts';
import { classifyEgress } from '../../../src/dataplane/fast-path/classify-egress.ts';
import { SlowPath } from '../../../src/dataplane/slow-path/slow-path.ts';
import { beginRead, openReader } from '../../../src/dataplane/tables/tables.ts';
import { TablesWriter } from '../../../src/dataplane/tables/writer.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import { makePacket } from '../../golden/packets.ts';

/* Which bits of a frame's traffic class its datagrams get. */

const PEERS: readonly Peer[] = [
  {
    id: 'a',
    address: '192.0.2.1',
    mac: '02:00:00:00:00:02',
    subnets: [requirePrefix('10.244.2.0/24'), requirePrefix('fd00:2::/64')],
  },
  { id: 'b', address: '192.0.2.2', mac: '02:00:00:00:00:03', subnets: [requirePrefix('10.244.3.0/24')] },
];

function tablesOf(mode: 'vxlan' | 'udp', copyDscp: boolean, peers: readonly Peer[]) {
  const defaults = { mode, vni: 1, port: 8472, underlayMtu: 1500, mtu: 1450, copyDscp };
  const writer = new TablesWriter({ peers: 8, macs: 8, prefixes: 8, readers: 1 }, defaults);
  writer.change({ set: peers, removed: [] });
  return { tables: beginRead(openReader(writer.memory, 0)), slot: (id: string) => writer.slots.of(id)! };
}

function batchOf(frames: readonly Uint8Array[]) {
  const batch = createBatch(frames.length, frames.length * 512);
  for (const [i, bytes] of frames.entries()) {
    batch.slab.set(bytes, i * 512 + 128);
    batch.table[i * DESC_STRIDE + DESC_OFFSET] = i * 512 + 128;
    batch.table[i * DESC_STRIDE + DESC_LENGTH] = bytes.length;
  }
  return batch;
}

const CLASSES = Array.from({ length: 256 }, (_, value) => value);

function classesOf(mode: 'vxlan' | 'udp', copyDscp: boolean, family: 4 | 6, l3: number, peers = PEERS) {
  const frames = CLASSES.map(
    tos => makePacket({ family, protocol: 17, payload: new Uint8Array(9), l3, tos }).bytes,
  );
  if (family === 6) for (const frame of frames) frame.set([0xfd, 0, 0, 2, 0, 0, 0, 0], l3 + 24);
  const batch = batchOf(frames);
  const { tables } = tablesOf(mode, copyDscp, peers);
  const config = { ethernet: mode === 'vxlan' ? 1 : 0, flood: 0, flowSockets: 16 };
  t.equal(classifyEgress(batch, frames.length, tables, config), 0);
  const fields = CLASSES.map(i => batch.table[i * DESC_STRIDE + DESC_SOCKET]!);
  t.equal(new Set(fields.map(field => field & SOCKET_MASK)).size, 1, 'one flow, one socket');
  return fields.map(field => field >>> SOCKET_CLASS_SHIFT);
}

t.test('the outer class has the ECN of the frame, and its DSCP on request', async t => {
  for (const family of [4, 6] as const)
    for (const [mode, l3] of [
      ['vxlan', 14],
      ['vxlan', 18],
      ['udp', 0],
    ] as const) {
      const name = `${mode}, IPv${family}, header at ${l3}`;
      t.strictSame(
        classesOf(mode, false, family, l3),
        CLASSES.map(value => value & 3),
        name,
      );
      t.strictSame(classesOf(mode, true, family, l3), CLASSES, `${name}, with DSCP`);
    }
});

t.test('a peer that ignores marks gets none', async t => {
  const peers = PEERS.map(peer => ({ ...peer, ignoresEcn: true }));
  t.strictSame(
    classesOf('udp', false, 4, 0, peers),
    CLASSES.map(() => 0),
  );
  t.strictSame(
    classesOf('udp', true, 4, 0, peers),
    CLASSES.map(value => value & 0xfc),
    'but the DSCP',
  );
});

t.test('a frame that is not IP, or has no IP header, goes out unmarked', async t => {
  const arp = new Uint8Array(60).fill(0xff);
  arp.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x06]);
  const batch = batchOf([arp]);
  const { tables } = tablesOf('vxlan', true, PEERS);
  classifyEgress(batch, 1, tables, { ethernet: 1, flood: 0, flowSockets: 16 });
  t.equal(batch.table[DESC_SOCKET]! >>> SOCKET_CLASS_SHIFT, 0);
});

t.test('each copy of a broadcast has the bits that its peer takes', async t => {
  const { bytes } = makePacket({ family: 4, protocol: 17, payload: new Uint8Array(9), tos: 0xb9 });
  bytes.fill(0xff, 0, 6);
  const batch = batchOf([bytes]);
  const { tables, slot } = tablesOf('vxlan', false, [PEERS[0]!, { ...PEERS[1]!, ignoresEcn: true }]);
  classifyEgress(batch, 1, tables, { ethernet: 1, flood: 1, flowSockets: 16 });
  t.equal(batch.table[6], FLOOD);
  const sent = new Map<number, number>();
  const slowPath = new SlowPath({
    device: { readBatch: () => 0, writeBatch: () => 0 },
    port: {
      sources: new Int32Array(0),
      receiveBatch: () => 0,
      sendBatch: ({ table }, count) => {
        for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) {
          t.equal(table[at + 6], FORWARD);
          sent.set(table[at + DESC_PEER]!, table[at + DESC_SOCKET]!);
        }
        return 0;
      },
    },
    batch,
    flood: 1,
    sendIcmp: () => {},
    reportTooBig: () => {},
    nowMs: () => 0,
  });
  slowPath.handle(batch, 1, tables);
  const socket = batch.table[DESC_SOCKET]! & SOCKET_MASK;
  t.strictSame(
    sent,
    new Map([
      [slot('a'), socket | (1 << SOCKET_CLASS_SHIFT)],
      [slot('b'), socket],
    ]),
  );
});
