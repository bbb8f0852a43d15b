import { deepStrictEqual } from 'node:assert/strict';
import t from 'tap';
import type { Peer } from '../../../../src/dataplane/descriptor/peer.ts';
import { findMac } from '../../../../src/dataplane/tables/fdb.ts';
import { findPrefix4, findPrefix6 } from '../../../../src/dataplane/tables/lpm.ts';
import { findNeighbour } from '../../../../src/dataplane/tables/neighbour-table.ts';
import { peerEntries } from '../../../../src/dataplane/tables/peer-entries.ts';
import { PEER_STRIDE } from '../../../../src/dataplane/tables/peer-table.ts';
import { findPeerBySource } from '../../../../src/dataplane/tables/source-table.ts';
import { beginRead, openReader, type TableView } from '../../../../src/dataplane/tables/tables.ts';
import { TablesWriter } from '../../../../src/dataplane/tables/writer.ts';
import { macText, node, OVERLAY, subnets } from './fixtures/peers.ts';

/** A generator of the same numbers for the same seed (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let h = Math.imul(state ^ (state >>> 15), 1 | state);
    h = (h + Math.imul(h ^ (h >>> 7), 61 | h)) ^ h;
    return ((h ^ (h >>> 14)) >>> 0) % below;
  };
}

/** Ids of the peers that the look-ups give for everything that any of `peers` has, and for random keys. */
function answers(view: TableView, writer: TablesWriter, peers: readonly Peer[], seed: number): string[] {
  const random = numbers(seed);
  const word = () => random(0x7fffffff) - 0x3fffffff;
  const name = (slot: number) => (slot === -1 ? '-' : (writer.slots.idOf(slot) ?? `empty slot ${slot}`));
  const found: string[] = [];
  for (const { mac, source, prefixes } of peers.map(peer => peerEntries(peer, OVERLAY))) {
    found.push(
      name(findMac(view.fdb, mac!.hi, mac!.lo)),
      name(findPeerBySource(view.sources, ...([...source] as [number, number, number, number]))),
    );
    for (const { family, words, length } of prefixes) {
      const inside = Array.from(words) as [number, number, number, number];
      inside[inside.length - 1]! |= length % 32 === 0 ? 0 : random(1 << Math.min(8, 32 - (length % 32)));
      found.push(
        name(family === 4 ? findPrefix4(view.prefixes4, inside[0]) : findPrefix6(view.prefixes6, ...inside)),
        name(findNeighbour(view, { family, words })),
      );
    }
  }
  for (let n = 0; n < 200; n++)
    found.push(
      name(findMac(view.fdb, random(65536), word())),
      name(findPrefix4(view.prefixes4, (10 << 24) | random(1 << 24))),
      name(findPrefix6(view.prefixes6, 0x20010db8, random(512), word(), word())),
      name(findPeerBySource(view.sources, word(), word(), word(), word())),
    );
  return found;
}

for (const seed of [1, 2, 3])
  t.test(`changes one after the other give the tables that a rebuild gives: seed ${seed}`, async t => {
    const random = numbers(seed);
    let capacity = { peers: 16, macs: 32, prefixes: 32, readers: 1 };
    const writer = new TablesWriter(capacity, OVERLAY);
    const all = new Map<string, Peer>();
    const every = Array.from({ length: 400 }, (_, n) => node(n));
    let reader = openReader(writer.memory, 0);
    let compared = 0;
    for (let round = 0; round < 500; round++) {
      // Up to four hundred peers, down to a few, and up again.
      const aim = Math.round(200 + 199 * Math.sin(round / 60));
      const set: Peer[] = [];
      const removed: string[] = [];
      for (let n = random(6); n >= 0; n--) {
        const number = random(400);
        const id = `node-${number}`;
        if (all.has(id) && (all.size > aim || random(4) === 0)) {
          removed.push(id);
          all.delete(id);
        } else if (!set.some(peer => peer.id === id)) {
          const peer = variant(number, random(5));
          set.push(peer);
          all.set(id, peer);
        }
      }
      const left = removed.filter(id => !all.has(id));
      if (all.size > capacity.peers) {
        capacity = { ...capacity, peers: all.size * 2, macs: all.size * 4, prefixes: all.size * 4 };
        writer.grow(capacity);
        writer.moved();
        reader = openReader(writer.memory, 0);
      }
      if (random(3) > 0) beginRead(reader); // sometimes a reader lingers, and changes wait
      writer.change({ set: set.filter(peer => all.get(peer.id) === peer), removed: left });
      if (random(2) === 0) continue;
      beginRead(reader);
      while (!writer.flush()) beginRead(reader);
      t.equal(writer.refused.size, 0);
      if (round % 10 !== 0) continue;
      compared++;
      const rebuilt = new TablesWriter({ peers: 512, macs: 1024, prefixes: 1024, readers: 1 }, OVERLAY);
      rebuilt.change({ set: [...all.values()], removed: [] });
      deepStrictEqual(
        answers(writer.view, writer, every, round),
        answers(rebuilt.view, rebuilt, every, round),
        `round ${round}, ${all.size} peers`,
      );
      t.equal(writer.peers.length, all.size);
      deepStrictEqual(
        [...all.keys()].map(id => recordOf(writer, id)),
        [...all.keys()].map(id => recordOf(rebuilt, id)),
      );
    }
    t.ok(compared > 15, `${compared} comparisons`);
  });

/** The same node with its own MAC, address or subnets changed. */
function variant(number: number, kind: number): Peer {
  if (kind === 1) return node(number, { mac: macText(0x0a00, number) });
  if (kind === 2) return node(number, { address: `172.16.${number >> 8}.${number & 255}` });
  if (kind === 3)
    return node(number, {
      subnets: subnets(
        `10.${number >> 8}.${number & 255}.128/25`,
        `2001:db8:0:${number.toString(16)}:1::/80`,
      ),
    });
  return node(number);
}

function recordOf(writer: TablesWriter, id: string): Int32Array {
  const slot = writer.slots.of(id)!;
  return writer.view.peers.slice(slot * PEER_STRIDE, (slot + 1) * PEER_STRIDE);
}

t.test(
  'more peers than fit: those that fit are there, the rest are named and taken when there is room',
  async t => {
    const writer = new TablesWriter({ peers: 3, macs: 6, prefixes: 12, readers: 1 }, OVERLAY);
    writer.change({ set: [node(1), node(2), node(3), node(4), node(5)], removed: [] });
    t.same(
      writer.peers.map(({ id }) => id),
      ['node-1', 'node-2', 'node-3'],
    );
    t.same([...writer.refused.keys()], ['node-4', 'node-5']);
    t.equal(writer.refused.get('node-4')!.error.code, 'ECAPACITY');
    writer.change({ set: [], removed: ['node-2'] });
    while (!writer.flush());
    t.same(writer.peers.map(({ id }) => id).sort(), ['node-1', 'node-3', 'node-4']);
    t.same([...writer.refused.keys()], ['node-5']);
    writer.grow({ peers: 8, macs: 8, prefixes: 16, readers: 1 });
    writer.moved();
    writer.change({ set: [], removed: [] });
    t.equal(writer.refused.size, 0);
    t.not(findMac(writer.view.fdb, 0x0200, 5), -1);
  },
);

t.test('what two peers have is a bug, and keeps no other peer away', async t => {
  const writer = new TablesWriter({ peers: 8, macs: 8, prefixes: 16, readers: 1 }, OVERLAY);
  for (const [name, double] of [
    ['MAC 02:00:00:00:00:03', node(4, { mac: macText(0x0200, 3) })],
    ['address 192.168.0.3', node(4, { address: '192.168.0.3' })],
    ['subnet 10.0.3.0/24', node(4, { subnets: subnets('10.0.3.0/24') })],
  ] as const) {
    const set = [node(1), node(3), double, node(5)];
    t.throws(() => writer.change({ set, removed: ['node-4'] }), {
      message: `bug: peers node-3 and node-4 both have the ${name}`,
    });
    while (!writer.flush());
    t.same(writer.peers.map(({ id }) => id).sort(), ['node-1', 'node-3', 'node-5']);
  }
  writer.change({ set: [node(4, { mac: macText(0x0200, 3) })], removed: ['node-3'] });
  while (!writer.flush());
  t.equal(findMac(writer.view.fdb, 0x0200, 3), writer.slots.of('node-4'), 'the other one has gone');
});

t.test('a prefix within one of another peer: the longest wins', async t => {
  const writer = new TablesWriter({ peers: 8, macs: 8, prefixes: 16, readers: 1 }, OVERLAY);
  const outer = node(1, { subnets: subnets('10.0.0.0/8') });
  const inner = node(2, { subnets: subnets('10.1.0.0/16') });
  writer.change({ set: [outer, inner], removed: [] });
  t.equal(findPrefix4(writer.view.prefixes4, 0x0a010203), writer.slots.of('node-2'));
  t.equal(findPrefix4(writer.view.prefixes4, 0x0a020203), writer.slots.of('node-1'));
});

t.test('what finds no room names the kind of entry', async t => {
  const writer = new TablesWriter({ peers: 3, macs: 3, prefixes: 4, readers: 1 }, OVERLAY);
  const many = node(1, { subnets: subnets('1.0.0.0/8', '2.0.0.0/8', '3.0.0.0/8', '4.0.0.0/8', '5.0.0.0/8') });
  writer.change({ set: [many], removed: [] });
  t.match(writer.refused.get('node-1')!.error, {
    code: 'ECAPACITY',
    message: /hold 4 prefixes and 5/,
    hint: /capacity\.prefixes to 5/,
  });
});
