import t from 'tap';
import { PacketDecoder } from '../../../../src/capture/decode/packet-decoder.ts';
import { FlowMonitor } from '../../../../src/capture/flows/flow-monitor.ts';
import type { Packet } from '../../../../src/capture/format/packet.ts';
import { CaptureHub } from '../../../../src/capture/live/capture-hub.ts';
import type { CaptureContext } from '../../../../src/capture/live/context.ts';
import { PeerHistory } from '../../../../src/capture/live/peer-history.ts';
import type { CaptureRecord } from '../../../../src/capture/live/record.ts';
import { encodeContext, readRecordStream } from '../../../../src/capture/live/record-stream.ts';
import { TimeOrder } from '../../../../src/capture/time-order.ts';
import type { Peer } from '../../../../src/dataplane/descriptor/peer.ts';
import { NO_PEER } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { TablesWriter } from '../../../../src/dataplane/tables/writer.ts';
import { TapRegistry } from '../../../../src/dataplane/tap/registry.ts';
import { setTapFilter, TAPS } from '../../../../src/dataplane/tap/tap-control.ts';
import { requirePrefix } from '../../../../src/ip/prefix.ts';
import { until } from '../../../../src/lab/until.ts';
import { chunked } from '../fixtures/files.ts';
import { ethernet, ip, joined, tcp, V4 } from '../fixtures/frames.ts';
import { CONTEXT, worker } from '../fixtures/tapped.ts';

/* Losses and peers over time: what a stream tells is true at every moment and at its end. */

const frame = ethernet(ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), V4)));
const NODE_C = { id: 'node-c', address: '192.0.2.3', port: 8472, remoteChecksum: false };

async function started(one: ReturnType<typeof worker>, peer?: string) {
  const control = new AbortController();
  const hub = new CaptureHub(one.source);
  const selection = { snapLength: 0, ...(peer === undefined ? {} : { peer }) };
  const stream = await readRecordStream(await hub.start(selection, control.signal));
  return { control, context: stream.context, batches: stream.batches() };
}

/** All records until the stream ends. */
async function rest(batches: AsyncGenerator<CaptureRecord[], void, void>): Promise<CaptureRecord[]> {
  const records: CaptureRecord[] = [];
  for await (const batch of batches) records.push(...batch);
  return records;
}

t.test('captured and lost are what passed, at every point, when nothing follows the loss', async t => {
  const one = worker('egress', 8, 8192);
  const { control, batches, context } = await started(one);
  const records = rest(batches);
  await until('the capture to be on', () => one.pass([{ frame }]) > 0);
  const passed = { inner: 1, outer: 1, drop: 0 };
  // Without a pause for the reader: most of them do not fit the ring.
  for (let i = 0; i < 300; i++) {
    const isLost = i % 3 === 0;
    one.pass([{ frame, ...(isLost ? { verdict: NO_PEER, peer: -1 } : {}) }]);
    passed.inner++;
    passed[isLost ? 'drop' : 'outer']++;
  }
  control.abort();
  const decoder = new PacketDecoder(context, { points: 19, snapLength: 0, segments: false });
  const captured = [0, 0, 0];
  const lost = [0, 0, 0];
  for (const record of await records) {
    for (const { interface: index } of decoder.packets(record)) captured[index]!++;
    for (const { interface: index, packets } of decoder.lost(record)) lost[index]! += packets;
  }
  t.ok(
    lost.every(count => count > 0),
    `lost ${lost}`,
  );
  t.strictSame(
    captured.map((count, index) => count + lost[index]!),
    [passed.inner, passed.outer, passed.drop],
  );
});

t.test('a signal that aborts after its capture has ended does not stop the next one', async t => {
  const one = worker('egress');
  const hub = new CaptureHub(one.source);
  const others = new AbortController();
  t.teardown(() => others.abort());
  for (let i = 2; i < TAPS; i++) await hub.start({ snapLength: 0 }, others.signal);
  const control = new AbortController();
  const former = await hub.start({ snapLength: 0 }, control.signal);
  await former.next();
  await former.return();
  t.equal(one.pass([{ frame }]), 0);
  // All other taps are taken: the next capture gets the same one.
  const next = await hub.start({ snapLength: 0 }, others.signal);
  await next.next();
  control.abort();
  t.not(one.pass([{ frame }]), 0);
});

t.test('a record names the peer as it was: a moved peer, and a slot that was used again', async t => {
  const one = worker('egress');
  const { control, batches } = await started(one);
  const records = rest(batches);
  await until('the capture to be on', () => one.pass([{ frame, peer: 0 }]) > 0);
  const pass = (generation: number) => one.pass([{ frame, peer: 1 }], 5, 0, 0, generation);
  pass(1);
  one.changes.push({
    generation: 2,
    slots: [{ slot: 1, peer: { ...CONTEXT.peers[1]!, address: '192.0.2.22' } }],
  });
  pass(2);
  // A batch that began before the change ends after it.
  pass(1);
  one.changes.push({ generation: 3, slots: [{ slot: 1, peer: null }] });
  pass(3);
  one.changes.push({ generation: 4, slots: [{ slot: 1, peer: NODE_C }] });
  pass(4);
  control.abort();
  const names = (await records).map(({ remote }) => remote && `${remote.id} ${remote.address}`).slice(1);
  t.strictSame(names, [
    'node-b 192.0.2.2',
    'node-b 192.0.2.22',
    'node-b 192.0.2.2',
    undefined,
    'node-c 192.0.2.3',
  ]);
});

t.test('a capture of one peer follows it to another slot and leaves out who gets the old one', async t => {
  const one = worker('egress');
  const { control, batches } = await started(one, 'node-b');
  const records = rest(batches);
  await until('the capture to be on', () => one.pass([{ frame, peer: 1 }]) > 0);
  one.changes.push({
    generation: 2,
    slots: [
      { slot: 1, peer: NODE_C },
      { slot: 5, peer: CONTEXT.peers[1]! },
    ],
  });
  await until('its new slot to be wanted', () => {
    one.pass([{ frame, peer: 1 }], 5, 0, 0, 2);
    one.pass([{ frame: joined(frame, [1]), peer: 5 }], 5, 0, 0, 2);
    return one.taps.each.some(({ control: words }) => words[3] === 5);
  });
  one.pass([{ frame: joined(frame, [1]), peer: 5 }], 5, 0, 0, 2);
  control.abort();
  const all = await records;
  t.ok(all.every(({ remote }) => remote?.id === 'node-b'));
  t.ok(
    all.some(({ length }) => length === frame.length + 1),
    'from its new slot',
  );
});

t.test('a flow keeps its peer when another one gets the slot', async t => {
  const one = worker('egress');
  const monitor = new FlowMonitor(one.source, 'flannel.1');
  t.teardown(() => monitor.close());
  monitor.report();
  one.pass([{ frame, peer: 1 }]);
  t.equal(monitor.report().flows[0]?.peer, 'node-b');
  one.changes.push({ generation: 2, slots: [{ slot: 1, peer: NODE_C }] });
  t.equal(monitor.report().flows[0]?.peer, 'node-b', 'without a packet to the new peer');
  t.strictSame(
    monitor.report().peers.map(({ peer }) => peer),
    ['node-b'],
  );
  one.pass([{ frame, peer: 1 }], 5, 0, 0, 2);
  t.strictSame(
    monitor.report().peers.map(({ peer, egress }) => [peer, egress.packets]),
    [
      ['node-b', 1],
      ['node-c', 1],
    ],
  );
});

t.test('the registry keeps what each generation changed while a tap is on', async t => {
  const defaults = { mode: 'vxlan', vni: 1, port: 8472, underlayMtu: 1500, mtu: 1450 } as const;
  const capacity = { peers: 4, macs: 4, prefixes: 8, readers: 1 };
  const writer = new TablesWriter(capacity, defaults);
  const registry = new TapRegistry({ ...defaults, address: '192.0.2.1' }, writer, []);
  const peer = (id: string, last: number): Peer => ({
    id,
    address: `192.0.2.${last}`,
    mac: `02:00:00:00:00:0${last}`,
    subnets: [requirePrefix(`10.244.${last}.0/24`)],
  });
  const history = () => new PeerHistory(registry.context());
  writer.change({ set: [peer('a', 2)], removed: [] });
  setTapFilter(registry.control, 1, { points: 31, snapLength: 0 });
  const seen = history();
  const start = seen.generation;
  const slot = writer.slots.of('a')!;
  writer.change({ set: [peer('a', 3)], removed: [] });
  writer.grow({ ...capacity, peers: 8 });
  writer.moved();
  writer.change({ set: [], removed: ['a'] });
  while (writer.slots.of('b') !== slot) {
    writer.change({ set: [], removed: ['b'] });
    writer.change({ set: [peer('b', 4)], removed: [] });
  }
  for (const change of registry.changesAfter(start)) seen.apply(change);
  const addresses = Array.from(
    { length: writer.generation - start + 1 },
    (_, at) => seen.at(slot, start + at)?.address,
  );
  t.strictSame(addresses.slice(0, 3), ['192.0.2.2', '192.0.2.3', '192.0.2.3'], 'also over larger tables');
  t.equal(addresses.at(-1), '192.0.2.4');
  t.ok(addresses.includes(undefined), 'free in between');
  for (let i = 0; i < 1100; i++) writer.change({ set: [peer('b', 4 + (i % 2))], removed: [] });
  const [all] = registry.changesAfter(start);
  t.equal(all?.slots.length, writer.slots.capacity, 'a reader that stalled gets every slot');
});

t.test('a context of as many peers as the tables hold crosses the stream', async t => {
  const peers = Array.from({ length: 65_534 }, (_, slot) => ({
    id: `node-with-a-long-name-${slot}.cluster.example`,
    address: `10.${slot >> 16}.${(slot >> 8) & 255}.${slot & 255}`,
    port: 8472,
    remoteChecksum: false,
  }));
  const context: CaptureContext = { ...CONTEXT, peers };
  const stream = await readRecordStream(chunked(encodeContext(context), 65_536));
  t.equal(stream.context.peers.length, peers.length);
});

t.test('packets leave in the order of their times; one that is too late is counted', async t => {
  const order = new TimeOrder();
  const packet = (ms: number): Packet => ({
    interface: 0,
    time: BigInt(ms) * 1_000_000n,
    bytes: new Uint8Array(10),
    length: 10,
  });
  const times = (packets: readonly Packet[]) => packets.map(({ time }) => Number(time / 1_000_000n));
  for (const ms of [10, 5, 7, 120]) order.add(packet(ms));
  t.strictSame(times(order.take()), [5, 7, 10]);
  for (const ms of [90, 121, 3]) order.add(packet(ms));
  t.strictSame(times(order.takeAll()), [3, 90, 120, 121]);
  t.equal(order.late, 1);
  t.ok(order.isEmpty);
});
