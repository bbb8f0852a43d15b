import t from 'tap';
import { FlowEntry } from '../../../../src/capture/flows/flow-entry.ts';
import { FlowFields, reverseKey } from '../../../../src/capture/flows/flow-fields.ts';
import { FlowMonitor } from '../../../../src/capture/flows/flow-monitor.ts';
import { orderFlows } from '../../../../src/capture/flows/flow-order.ts';
import type { FlowReport, FlowRow } from '../../../../src/capture/flows/flow-report.ts';
import {
  END_OF_FLOW,
  FlowTable,
  IDLE_TIMEOUT,
  LACK_OF_RESOURCES,
} from '../../../../src/capture/flows/flow-table.ts';
import { onAck, onDataSent } from '../../../../src/capture/flows/tcp-tracker.ts';
import { NO_PEER } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { PATIENCE_MS, until } from '../../../../src/lab/until.ts';
import { seeded } from '../../../fixtures/random.ts';
import { type Ends, ethernet, ip, joined, randomPacket, tcp, udp, V4, V6 } from '../fixtures/frames.ts';
import { worker } from '../fixtures/tapped.ts';

const reversed = ({ source, target }: Ends): Ends => ({ source: target, target: source });
const zeros = (count: number) => new Uint8Array(count);
const ACK = 0x10;
const PUSH = 0x18;
const SYN = 0x02;

/** A segment as the watch sees it. */
function segment(sequence: number, payload: number, flags = ACK, acknowledgement = 0): FlowFields {
  const fields = new FlowFields();
  Object.assign(fields, { sequence: sequence | 0, payload, flags, acknowledgement: acknowledgement | 0 });
  Object.assign(fields, { isTcp: true, segment: Math.max(1, payload) });
  return fields;
}

t.test('retransmissions, by literal sequences', async t => {
  const count = (...segments: readonly (readonly [number, number, number?, number?])[]) => {
    const flow = new FlowEntry();
    let again = 0;
    for (const [at, [sequence, payload, flags, time]] of segments.entries())
      again += onDataSent(flow, segment(sequence, payload, flags), time ?? at * 10);
    return again;
  };
  t.equal(count([100, 50], [150, 50], [200, 50]), 0, 'in order');
  t.equal(count([100, 50], [150, 50], [100, 50]), 1, 'the first one again');
  t.equal(count([100, 50], [150, 50], [150, 50], [150, 50]), 2, 'the last one twice more');
  t.equal(count([100, 50], [200, 50], [150, 50]), 1, 'a hole that is filled after 10 ms');
  t.equal(count([100, 50, ACK, 0], [200, 50, ACK, 1], [150, 50, ACK, 2]), 0, 'overtaken by 1 ms');
  t.equal(count([100, 50, ACK, 0], [200, 50, ACK, 1], [100, 50, ACK, 2]), 1, 'soon, but not the hole');
  t.equal(count([0xffffffe0, 0x40], [0x20, 0x40], [0xffffffe0, 0x40]), 1, 'across 2^32');
  t.equal(count([0xffffffe0, 0x40], [0x20, 0x40], [0x60, 0x40]), 0, 'in order across 2^32');
  t.equal(count([99, 0, SYN], [99, 0, SYN], [99, 0, SYN]), 2, 'SYN twice more');
  t.equal(count([99, 0, SYN], [100, 0], [100, 50], [100, 0]), 0, 'bare acknowledgements');
  t.equal(count([100, 50], [149, 0], [149, 1]), 0, 'keep-alives');
  t.equal(count([100, 50], [150, 0, 0x11], [150, 0, 0x11]), 1, 'FIN again');
  t.equal(count([100, 50], [9000, 0, SYN], [9001, 10], [5, 0, SYN], [6, 10]), 0, 'ports used again');
  const flow = new FlowEntry();
  const gsoPacket = segment(1000, 10_000);
  gsoPacket.segment = 1400;
  t.equal(onDataSent(flow, gsoPacket, 0), 0);
  t.equal(onDataSent(flow, gsoPacket, 10), 8, 'a GSO packet of eight segments');
  const half = segment(9600, 2800);
  half.segment = 1400;
  t.equal(onDataSent(flow, half, 20), 1, 'half of it is new');
});

t.test('round trips, by literal sequences', async t => {
  const flow = new FlowEntry();
  const acknowledged = (number: number, at: number, whole = 0, flags = ACK) =>
    onAck(flow, segment(0, 0, flags, number), at, whole);
  t.equal(acknowledged(100, 0), -1, 'nothing was sent');
  onDataSent(flow, segment(99, 0, SYN), 10);
  t.equal(acknowledged(100, 12.5, 0, 0x12), 2.5, 'SYN and its answer');
  t.match(flow, { rtt: 2.5, rttMin: 2.5 });
  onDataSent(flow, segment(100, 50), 20);
  onDataSent(flow, segment(150, 50), 21);
  t.equal(acknowledged(149, 22), -1, 'one byte is missing');
  t.equal(acknowledged(200, 30.5), 10.5, 'from the first one on');
  t.match(flow, { rtt: 3.5, rttMin: 2.5 }, 'an eighth of the new sample');
  t.equal(acknowledged(200, 31), -1, 'told once');
  onDataSent(flow, segment(200, 50), 40);
  onDataSent(flow, segment(200, 50), 240);
  t.equal(acknowledged(250, 241), -1, 'sent twice: the acknowledgement is ambiguous');
  onDataSent(flow, segment(250, 50), 300);
  t.equal(acknowledged(300, 310, 305), -1, 'records were lost in between');
  onDataSent(flow, segment(0xfffffff0 - 50, 50), 400);
  flow.isFollowed = false;
  onDataSent(flow, segment(0xfffffff0, 0x20), 400);
  t.equal(acknowledged(0xffffffff, 401), -1);
  t.equal(acknowledged(0x10, 404), 4, 'across 2^32');
});

t.test('headers: both families, tags, GSO packets, fragments, extension headers, what was cut', async t => {
  const fields = new FlowFields();
  const read = (
    frame: Uint8Array,
    { captured = frame.length, length = frame.length, segment: size = 0 } = {},
  ) =>
    fields.read(new DataView(frame.buffer), 0, captured, length, 'ethernet', size, 0) && {
      packets: fields.packets,
      bytes: fields.bytes,
      ports: [fields.key[1]! >>> 16, fields.key[1]! & 0xffff],
      isTcp: fields.isTcp,
      head: fields.key[0],
    };
  for (const [ends, header, family] of [
    [V4, 20, 0],
    [V6, 40, 256],
  ] as const) {
    const body = tcp({ from: 40000, to: 80, sequence: 5, flags: PUSH }, zeros(3000), ends);
    const packet = ip(ends, 6, body);
    const ports = [40000, 80];
    const whole = { packets: 1, bytes: header + 32 + 3000, ports, isTcp: true, head: family | 6 };
    t.strictSame(read(ethernet(packet)), whole);
    t.strictSame(read(ethernet(packet, [7])), whole, 'with a tag');
    t.strictSame(read(ethernet(packet), { captured: 14 + header + 32, length: 14 + packet.length }), whole);
    t.strictSame(
      read(ethernet(packet), { segment: 1000 }),
      { ...whole, packets: 3, bytes: 3 * (header + 32) + 3000 },
      'three on the wire',
    );
    t.strictSame([fields.payload, fields.segment, fields.sequence], [3000, 1000, 5]);
    t.match(read(ethernet(packet), { captured: 14 + header + 8 }), { ports, isTcp: false }, 'TCP is cut');
    t.match(read(joined(ethernet(packet), zeros(60))), { bytes: whole.bytes }, 'padding');
    t.equal(read(ethernet(packet), { captured: 14 + 19 }), false);
    const datagram = ip(ends, 17, udp(53, 5353, zeros(2000), ends));
    t.match(read(ethernet(datagram), { segment: 1000 }), {
      packets: 2,
      bytes: 2 * (header + 8) + 2000,
      ports: [53, 5353],
    });
  }
  const fragment = ip(V4, 17, udp(1, 2, zeros(10), V4));
  fragment[7] = 3;
  t.match(read(ethernet(fragment)), { ports: [0, 0], head: 17 });
  const options = joined(
    [6, 0, 1, 4, 0, 0, 0, 0],
    tcp({ from: 9, to: 10, sequence: 1, flags: ACK }, zeros(5), V6),
  );
  t.match(read(ethernet(ip(V6, 60, options))), { ports: [9, 10], isTcp: true, bytes: 40 + 8 + 32 + 5 });
  t.match(read(ethernet(ip(V6, 60, joined([60, 255], zeros(2046)))), { captured: 70 }), { ports: [0, 0] });
  t.equal(read(joined(zeros(12), [8, 6], zeros(28))), false, 'ARP');
  const random = seeded(t, 71);
  const wrong: string[] = [];
  for (let i = 0; i < 5000; i++) {
    const frame = i & 1 ? random.bytes(random.between(0, 140)) : randomPacket(random, 'ethernet');
    for (let flips = random.between(0, 3); flips > 0; flips--)
      if (frame.length > 0) frame[random.between(0, frame.length - 1)]! ^= 1 << random.between(0, 7);
    const captured = random.between(0, frame.length);
    const length = random.between(captured, 70_000);
    if (read(frame.slice(0, captured), { captured, length, segment: random.between(0, 1500) }) === false)
      continue;
    if (!(fields.packets >= 1 && fields.bytes > 0 && fields.payload >= 0)) wrong.push(`${frame}`);
  }
  t.strictSame(wrong, []);
});

/** A worker, and the table that watches it. */
function watched(
  t: { teardown(undo: () => void): void },
  direction: 'egress' | 'ingress' = 'egress',
  ring = 1 << 20,
) {
  const one = worker(direction, 8, ring);
  const monitor = new FlowMonitor(one.source, 'flannel.1', 64);
  t.teardown(() => monitor.close());
  const before = monitor.report();
  return { one, monitor, before, report: () => monitor.report() };
}

const rowOf = (report: FlowReport, direction: string) =>
  report.flows.find(row => row.direction === direction);

t.test('from the frames of the workers to the rows of a report', async t => {
  const { one, before, monitor, report } = watched(t);
  t.match(before, { flows: [], peers: [], sampled: 1, frames: { seen: 0, unsampled: 0 } });
  const packet = ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: PUSH }, zeros(5000), V4));
  const frame = ethernet(packet);
  const offload = [1, 1, 1400, 34, 16] as const;
  one.pass([{ frame, offload, peer: 1 }]);
  one.pass([{ frame, offload, peer: 1 }]);
  one.pass([{ frame: ethernet(ip(V6, 17, udp(53, 5353, zeros(10), V6))), peer: -1, verdict: NO_PEER }]);
  one.pass([{ frame: joined(zeros(12), [8, 6], zeros(28)) }]);
  const { flows, peers, frames } = report();
  t.match(frames, { seen: 4, unsampled: 0, other: 1 });
  t.match(
    orderFlows(flows, 'bytes'),
    [
      {
        device: 'flannel.1',
        direction: 'egress',
        protocol: 'tcp',
        source: '10.244.1.5',
        sourcePort: 40000,
        destination: '10.244.2.9',
        destinationPort: 80,
        peer: 'node-b',
        peerAddress: '192.0.2.2',
        packets: 8,
        bytes: 2 * (5000 + 4 * 52),
        drops: 0,
        dropReason: null,
        retransmissions: 4,
        rttMs: null,
        ending: false,
      },
      { protocol: 'udp', source: 'fd00:1::5', peer: null, packets: 0, drops: 1, dropReason: 'no-peer' },
    ],
    'sent twice: the second time again',
  );
  t.ok(flows.every(row => row.bitRate >= 0 && Date.parse(row.last) >= Date.parse(row.first)));
  t.match(peers, [
    { peer: 'node-b', flows: 1, egress: { packets: 8, retransmissions: 4 }, ingress: { packets: 0 } },
    { peer: null, egress: { packets: 0, drops: 1 } },
  ]);
  t.throws(() => orderFlows(flows, 'constructor'), { code: 'ECONFIG' }, 'a name of every object (H27)');
  t.throws(() => orderFlows(flows, 'byts'), { code: 'ECONFIG', hint: 'did you mean "bytes"?' });
  monitor.close();
  t.equal(one.pass([{ frame }]), 0, 'off: the workers copy nothing');
});

t.test(
  'an address that gets another owner begins new flows, and the former ones keep their counts',
  async t => {
    const { one, monitor, report } = watched(t);
    const four = ethernet(ip(V4, 1, zeros(16)));
    const six = ethernet(ip(V6, 17, udp(53, 5353, zeros(10), V6)));
    const pass = () => {
      one.pass([{ frame: four, peer: -1, verdict: NO_PEER }]);
      one.pass([{ frame: six, peer: 1 }]);
    };
    pass();
    pass();
    monitor.retire(['10.244.9.9', 'fd00:1::5', '10.244.1.5']);
    pass();
    const rows = report().flows.map(({ source, packets, drops }) => [source, packets, drops]);
    t.strictSame(rows.sort(), [
      ['10.244.1.5', 0, 1],
      ['10.244.1.5', 0, 2],
      ['fd00:1::5', 1, 0],
      ['fd00:1::5', 2, 0],
    ]);
    monitor.close();
    monitor.retire(['10.244.1.5']);
  },
);

t.test('both directions: the time from a segment to its acknowledgement', async t => {
  const egress = worker('egress');
  const ingress = worker('ingress', 8, 1 << 20, egress.control);
  const rings = egress.source.rings.map((own, tap) => [...own, ...ingress.source.rings[tap]!]);
  const monitor = new FlowMonitor({ ...egress.source, rings }, 'flannel.1');
  t.teardown(() => monitor.close());
  monitor.report();
  const sent = tcp({ from: 40000, to: 80, sequence: 100, flags: PUSH }, zeros(10), V4);
  const back = reversed(V4);
  const answer = tcp({ from: 80, to: 40000, sequence: 7, flags: ACK }, zeros(0), back);
  answer.set([0, 0, 0, 110], 8);
  ingress.pass([{ frame: joined(zeros(8), ethernet(ip(back, 6, answer))) }], 3.5);
  egress.pass([{ frame: ethernet(ip(V4, 6, sent)) }], 1);
  ingress.pass([{ frame: joined(zeros(8), ethernet(ip(back, 6, answer))) }], 5.5);
  const report = monitor.report();
  t.match(rowOf(report, 'ingress'), { source: '10.244.2.9', packets: 2, rttMs: null });
  const { rttMs } = rowOf(report, 'egress')!;
  t.ok(Math.abs(rttMs! - 2.5) < 0.01, `${rttMs} ms: by the stamps, not by the rings`);
  t.match(report.peers, [{ egress: { rttMs }, ingress: { rttMs: null } }]);
});

t.test('what comes too fast is unsampled, said, and the counts are scaled up', async t => {
  const { one, report } = watched(t, 'egress', 4096);
  const frame = ethernet(ip(V4, 17, udp(1, 2, zeros(50), V4)));
  const flood = () => {
    for (let i = 0; i < 100; i++) one.pass([{ frame }]);
  };
  flood();
  const first = report();
  const [row] = first.flows as [FlowRow];
  t.ok(row.packets >= 10 && row.packets < 40, `${row.packets} of 100 seen`);
  one.pass([{ frame }]);
  await until('the share is known', () => report().sampled < 0.5, PATIENCE_MS, 50);
  const before = report().flows[0]!.packets;
  flood();
  const { flows, frames } = report();
  t.ok(flows[0]!.packets - before > 60, `${flows[0]!.packets - before} for 100`);
  t.match(frames.unsampled > 50, true);
});

t.test('bounded: a flood of flows ousts itself, and what is idle goes', async t => {
  const ended: number[] = [];
  const table = new FlowTable(0, 64, (_key, _entry, reason) => ended.push(reason));
  t.equal(table.capacity, 64);
  const fields = new FlowFields();
  const fate = { peer: 1, dropVerdict: -1, timeMs: 1, weight: 1, wholeSince: 0 };
  const add = (port: number, flags = ACK, timeMs = 1) => {
    fields.key.set([6, port << 16, 0, 0, 0, 1, 0, 0, 0, 2]);
    Object.assign(fields, { packets: 1, bytes: 100, isTcp: true, flags, payload: 0, sequence: 0 });
    table.add(fields, { ...fate, timeMs });
  };
  const long = [1, 2, 3];
  for (let i = 0; i < 20; i++) for (const port of long) add(port);
  for (let port = 100; port < 5100; port++) add(port);
  t.equal(table.count, 64);
  t.equal(table.evicted.flows, 5003 - 64);
  const kept: number[] = [];
  let packets = table.evicted.packets;
  table.each((key, entry) => {
    kept.push(key[1]! >>> 16);
    packets += entry.packets;
  });
  t.ok(
    long.every(port => kept.includes(port)),
    'the long ones stayed',
  );
  t.equal(packets, 5060, 'nothing is forgotten in the sums');
  t.equal([...table.peers][0]!.sums.packets, 5060);
  t.ok(ended.every(reason => reason === LACK_OF_RESOURCES));
  ended.length = 0;
  add(2, 0x11, 50_000);
  add(3, ACK, 50_000);
  table.tick(60_500);
  t.equal(table.count, 1);
  t.strictSame(
    [IDLE_TIMEOUT, END_OF_FLOW].map(reason => ended.filter(one => one === reason).length),
    [62, 1],
  );
  table.tick(200_000);
  t.equal(table.count, 0);
});

t.test('the key of an answer', async t => {
  const key = Int32Array.of(6, (40000 << 16) | 80, 1, 2, 3, 4, 5, 6, 7, 8);
  const other = new Int32Array(10);
  reverseKey(key, other);
  t.strictSame([...other], [65536 | 6, (80 << 16) | 40000, 5, 6, 7, 8, 1, 2, 3, 4]);
  const back = new Int32Array(10);
  reverseKey(other, back);
  t.strictSame(back, key);
});
