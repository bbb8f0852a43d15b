import t from 'tap';
import { findMac } from '../../../../src/dataplane/tables/fdb.ts';
import { findPrefix4, findPrefix6 } from '../../../../src/dataplane/tables/lpm.ts';
import { copyMac, findNeighbour } from '../../../../src/dataplane/tables/neighbour-table.ts';
import { PEER_FAMILY, PEER_STRIDE, readPeer } from '../../../../src/dataplane/tables/peer-table.ts';
import { findPeerBySource } from '../../../../src/dataplane/tables/source-table.ts';
import {
  beginRead,
  createTables,
  endRead,
  generationOf,
  openReader,
  type TablesReader,
  tablesBytes,
} from '../../../../src/dataplane/tables/tables.ts';
import { TablesWriter } from '../../../../src/dataplane/tables/writer.ts';
import { requireAddress } from '../../../../src/ip/address.ts';
import { publish } from '../../../fixtures/tables.ts';
import { mapped, node, OVERLAY } from './fixtures/peers.ts';

const CAPACITY = { peers: 8, macs: 8, prefixes: 8, readers: 2 };

/** Index in `words` of the generation, as `tables.ts` lays it out. */
const GENERATION_WORD = 16;

/** Slots that hold a record, rising. */
function slotsInUse(table: Int32Array): number[] {
  const slots = Array.from({ length: table.length / PEER_STRIDE }, (_, slot) => slot);
  return slots.filter(slot => table[slot * PEER_STRIDE + PEER_FAMILY] !== 0);
}

function made(capacity = CAPACITY): { writer: TablesWriter; first: TablesReader; second: TablesReader } {
  const writer = new TablesWriter(capacity, OVERLAY);
  return { writer, first: openReader(writer.memory, 0), second: openReader(writer.memory, 1) };
}

t.test('a published peer is found by each of its names', async t => {
  const { writer, first } = made();
  t.equal(
    publish(writer, [
      node(1),
      node(2, { address: '10.9.8.7', hosts: [requireAddress('10.9.8.7'), requireAddress('fd00::7')] }),
    ]),
    true,
  );
  const view = beginRead(first);
  const slot = writer.slots.of('node-2')!;
  const source = new Int32Array(mapped(10, 9, 8, 7).buffer) as unknown as [number, number, number, number];
  t.equal(findMac(view.fdb, 0x0200, 2), slot);
  t.equal(findPrefix4(view.prefixes4, (10 << 24) | (2 << 8) | 77), slot);
  t.equal(findPrefix6(view.prefixes6, 0x20010db8, 2, 5, 6), slot);
  t.equal(findPeerBySource(view.sources, ...source), slot);
  t.equal(
    findNeighbour(view, { family: 4, words: [(10 << 24) | (2 << 8)] }),
    slot,
    'VTEP at the network address',
  );
  t.equal(findNeighbour(view, { family: 6, words: [0x20010db8, 2, 0, 0] }), slot);
  const ipv4 = (last: number) => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 2, last);
  t.strictSame(copyMac(view, ipv4(0)), Uint8Array.of(2, 0, 0, 0, 0, 2));
  t.equal(copyMac(view, ipv4(1)), undefined);
  t.same(readPeer(view.peers, slot), {
    family: 4,
    address: mapped(10, 9, 8, 7),
    port: 8472,
    pathMtu: 1500,
    innerMtu: 1450,
    header: Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0),
    mac: { hi: 0x0200, lo: 2 },
    classMask: 3,
    remoteChecksum: false,
    unsegmented: false,
    host4: (10 << 24) | (9 << 16) | (8 << 8) | 7,
    host6: [0xfd000000 | 0, 0, 0, 7],
  });
  t.same(slotsInUse(view.peers), [0, 1]);
});

t.test('a peer without MAC has no VTEP', async t => {
  const writer = new TablesWriter(CAPACITY, { ...OVERLAY, mode: 'udp' });
  publish(writer, [node(1, { mac: undefined })]);
  t.equal(findNeighbour(writer.view, { family: 4, words: [(10 << 24) | (1 << 8)] }), -1);
  t.equal(readPeer(writer.view.peers, 0)!.mac, undefined);
  t.equal(readPeer(writer.view.peers, 0)!.header.length, 0);
});

t.test('a peer with a lowered path: the inner MTU follows, and never exceeds the overlay MTU', async t => {
  const { writer } = made();
  publish(writer, [node(1, { pathMtu: 1400 }), node(2, { pathMtu: 9000 }), node(3)]);
  t.same(
    [0, 1, 2]
      .map(slot => readPeer(writer.view.peers, slot)!)
      .map(({ pathMtu, innerMtu }) => [pathMtu, innerMtu]),
    [
      [1400, 1350],
      [9000, 1450],
      [1500, 1450],
    ],
  );
});

t.test('a slot stays with its id, whatever else changes', async t => {
  const reset: number[] = [];
  const writer = new TablesWriter(CAPACITY, OVERLAY, slot => reset.push(slot));
  publish(writer, [node(1), node(2), node(3)]);
  const slot = writer.slots.of('node-3');
  publish(writer, [node(3, { port: 4789 })]);
  t.equal(writer.slots.of('node-3'), slot);
  t.equal(readPeer(writer.view.peers, slot!)!.port, 4789);
  t.same(slotsInUse(writer.view.peers), [slot]);
  t.same(reset, [], 'readers may still count for those that went');
  publish(writer, [node(3), node(4)]);
  t.same(reset.sort(), [0, 1], 'all readers have moved on');
  t.ok([0, 1].includes(writer.slots.of('node-4')!), 'a freed slot is used again');
});

t.test('a half that a reader may use is not written', async t => {
  const { writer, first, second } = made();
  const old = beginRead(first);
  t.equal(publish(writer, [node(1)]), true, 'the other half is free');
  t.equal(writer.canPublish(), false);
  t.equal(publish(writer, [node(2)]), false);
  t.equal(publish(writer, [node(3)]), false);
  t.equal(findMac(old.fdb, 0x0200, 2), -1);
  t.equal(findMac(beginRead(second).fdb, 0x0200, 1), 0, 'others see the newest published one');
  t.equal(writer.flush(), false);
  endRead(first);
  t.equal(writer.flush(), true, 'the second reader is in the current generation and does not matter');
  t.same(
    writer.peers.map(peer => peer.id),
    ['node-3'],
    'the newest list won',
  );
  t.equal(writer.canPublish(), false, 'now it is the second reader that lingers');
  t.not(findMac(beginRead(second).fdb, 0x0200, 3), -1);
  t.equal(writer.canPublish(), true);
  t.equal(writer.flush(), true, 'nothing waits');
});

t.test('a reader that is overtaken between its look and its mark begins again', async t => {
  const { writer, first } = made();
  publish(writer, [node(1)]);
  const load = Atomics.load;
  let overtaken = false;
  // Two generations pass after the reader has loaded the first: the half that it was about to use is rewritten.
  Atomics.load = ((words: Int32Array, index: number) => {
    const value = load(words, index);
    if (index === GENERATION_WORD && !overtaken) {
      overtaken = true;
      publish(writer, [node(2)]);
      publish(writer, [node(3)]);
    }
    return value;
  }) as typeof Atomics.load;
  t.teardown(() => {
    Atomics.load = load;
  });
  beginRead(first);
  t.equal(overtaken, true);
  t.equal(
    writer.canPublish(),
    true,
    'the reader is in the newest generation, not in the one it looked at first',
  );
});

t.test('an idle reader and a dead one hold nothing up', async t => {
  const { writer, first, second } = made();
  beginRead(first);
  endRead(first);
  for (let n = 0; n < 10; n++) t.equal(publish(writer, [node(n)]), true);
  beginRead(second);
  publish(writer, [node(1)]);
  t.equal(publish(writer, [node(2)]), false);
  writer.removeReader(1);
  t.equal(writer.flush(), true);
});

t.test('generations wrap without changing halves', async t => {
  const { writer, first } = made();
  writer.tables.words[GENERATION_WORD] = 0x7ffffffe;
  for (let n = 0; n < 4; n++) {
    publish(writer, [node(n)]);
    t.not(findMac(beginRead(first).fdb, 0x0200, n), -1);
  }
  t.equal(generationOf(writer.tables), 2);
});

t.test('full tables can still change all their peers', async t => {
  const reset: number[] = [];
  const writer = new TablesWriter({ ...CAPACITY, peers: 2 }, OVERLAY, slot => reset.push(slot));
  publish(writer, [node(1), node(2)]);
  t.equal(publish(writer, [node(2), node(3)]), false, 'the slot of node-1 must be given up first');
  t.same(
    writer.peers.map(peer => peer.id),
    ['node-2'],
  );
  t.equal(writer.flush(), true);
  t.same(reset, [0]);
  t.same(
    writer.peers.map(peer => peer.id),
    ['node-2', 'node-3'],
  );
});

t.test('larger memory: same peers, same slots; nothing is published until all readers have it', async t => {
  const { writer, first } = made();
  publish(writer, [node(1), node(2), node(3)]);
  publish(writer, [node(2), node(3)]);
  const slot = writer.slots.of('node-3');
  const before = writer.memory;
  writer.grow({ ...CAPACITY, peers: 100, macs: 100, prefixes: 100 });
  t.not(writer.memory, before);
  const view = beginRead(openReader(writer.memory, 0));
  t.equal(findMac(view.fdb, 0x0200, 3), slot);
  t.not(findMac(beginRead(first).fdb, 0x0200, 3), -1, 'the old memory is unchanged');
  const hundred = Array.from({ length: 100 }, (_, n) => node(n));
  t.equal(publish(writer, hundred), false, 'a reader may still be in the old memory');
  t.equal(writer.flush(), false);
  writer.moved();
  t.equal(writer.flush(), true);
  t.equal(slotsInUse(writer.view.peers).length, 100);
  t.equal(writer.slots.of('node-3'), slot);
  t.throws(() => writer.grow({ ...CAPACITY, peers: 7 }), {
    code: 'ECONFIG',
    message: /7 is less than the 100/,
  });
});

t.test('memory is as large as it says, and stated', async t => {
  const capacity = { peers: 1024, macs: 1024, prefixes: 1024, readers: 4 };
  t.equal(createTables(capacity).byteLength, tablesBytes(capacity));
  t.ok(tablesBytes(capacity) / 1024 < 1024, 'less than 1 KiB per peer with all its tables, both halves');
  t.throws(() => openReader(createTables(CAPACITY), 2), RangeError);
  t.throws(() => createTables({ ...CAPACITY, peers: 65535 }), {
    code: 'ECONFIG',
    message: /capacity\.peers: 65535/,
  });
  t.throws(() => createTables({ ...CAPACITY, macs: 1.5 }), { code: 'ECONFIG', message: /capacity\.macs/ });
});
