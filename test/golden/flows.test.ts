import t from 'tap';
import { FlowFields } from '../../src/capture/flows/flow-fields.ts';
import { describeKey } from '../../src/capture/flows/flow-report.ts';
import { FlowTable } from '../../src/capture/flows/flow-table.ts';
import { Random, seedOfRun } from '../fixtures/random.ts';
import { ethernet, ip, joined, udp } from '../unit/capture/fixtures/frames.ts';

/* The flow table compared with a slow and obvious one: objects in a Map, absolute sequence numbers, every segment remembered. */

interface Segment {
  /** From the first byte of the connection on, never wrapping. */
  start: number;
  length: number;
  time: number;
}

class GoldenFlow {
  packets = 0;
  bytes = 0;
  drops = 0;
  retransmissions = 0;
  samples: number[] = [];
  segments: Segment[] = [];
  hole: { start: number; end: number; time: number } | undefined;
  timed: { end: number; time: number } | undefined;

  get highest(): number {
    return Math.max(...this.segments.map(({ start, length }) => start + length));
  }

  send(segment: Segment): void {
    const { start, length, time } = segment;
    const end = start + length;
    if (this.segments.length === 0) {
      this.segments.push(segment);
      if (length > 0) this.timed = { end, time };
      return;
    }
    if (length === 0) return;
    const { highest } = this;
    if (start >= highest) {
      if (start > highest) this.hole = { start: highest, end: start, time };
      this.timed ??= { end, time };
    } else {
      const limit = Math.min(3, ...this.samples.filter(sample => sample > 0));
      const hole = this.hole;
      const isLate = hole && start >= hole.start && start < hole.end && time - hole.time < limit;
      const isProbe = length === 1 && start === highest - 1;
      if (!isLate && !isProbe) {
        this.retransmissions++;
        if (this.timed && start < this.timed.end) this.timed = undefined;
      }
    }
    this.segments.push(segment);
  }

  acknowledge(until: number, time: number): void {
    if (!this.timed || until < this.timed.end) return;
    this.samples.push(time - this.timed.time);
    this.timed = undefined;
  }

  get rtt(): number {
    return this.samples.reduce((mean, sample, at) => (at === 0 ? sample : mean + (sample - mean) / 8), -1);
  }
}

const seed = seedOfRun();
t.comment(`seed ${seed}`);
const random = new Random(seed);

const word = (n: number) => [(n >>> 8) & 255, n & 255];
const long = (n: number) => [...word(n >>> 16), ...word(n & 0xffff)];

/** One side of a connection. */
interface Side {
  address: readonly number[];
  port: number;
  initial: number;
  /** Bytes sent, from `initial` on. */
  sent: number;
  sizes: Segment[];
}

function side(net: number, isIpv6: boolean): Side {
  const address = isIpv6
    ? [0xfd, 0, 0, net, ...new Array(10).fill(0), random.below(3), random.below(250)]
    : [10, 244, net, random.below(250)];
  // Many begin just below the wrap.
  const initial = random.below(2) === 0 ? 2 ** 32 - random.below(5000) : random.below(2 ** 31);
  return { address, port: 1024 + random.below(60_000), initial, sent: 0, sizes: [] };
}

function segmentOf(from: Side, to: Side, start: number, length: number, acknowledged: number): Uint8Array {
  const header = joined(
    word(from.port),
    word(to.port),
    long((from.initial + start) >>> 0),
    long((to.initial + acknowledged) >>> 0),
    [0x50, 0x10, 1, 0, 0, 0, 0, 0],
  );
  const ends = { source: from.address, target: to.address };
  return ethernet(ip(ends, 6, joined(header, new Uint8Array(length))));
}

t.test('flows, retransmissions and round trips agree with the slow table', async t => {
  const golden = new Map<string, GoldenFlow>();
  const table = new FlowTable(0);
  const fields = new FlowFields();
  let time = 1_700_000_000_000;
  const goldenOf = (key: string) => {
    const flow = golden.get(key) ?? new GoldenFlow();
    golden.set(key, flow);
    return flow;
  };
  const nameOf = (from: Side, to: Side, isOut: boolean, kind: string) =>
    `${isOut ? 'egress' : 'ingress'} ${kind} ${from.address}:${from.port} ${to.address}:${to.port}`;
  let unread = 0;
  const pass = (frame: Uint8Array, isOut: boolean, isLost: boolean) => {
    const view = new DataView(frame.buffer);
    if (!fields.read(view, 0, Math.min(frame.length, 120), frame.length, 'ethernet', 0, isOut ? 0 : 1))
      unread++;
    const dropVerdict = isLost ? 3 : -1;
    table.add(fields, { peer: 1, dropVerdict, timeMs: time, weight: 1, wholeSince: 0 });
  };
  const connections = Array.from({ length: 40 }, (_, at) => ({
    sides: [side(1, at % 2 === 0), side(2, at % 2 === 0)] as const,
    isUdp: at % 5 === 0,
  }));
  for (let event = 0; event < 12_000; event++) {
    time += random.below(1500) / 1000;
    const { sides, isUdp } = connections[random.below(connections.length)]!;
    const isOut = random.below(2) === 0;
    const [from, to] = isOut ? [sides[0], sides[1]] : [sides[1], sides[0]];
    const flow = goldenOf(nameOf(from, to, isOut, isUdp ? 'udp' : 'tcp'));
    const isLost = random.below(20) === 0;
    const size = 1 + random.below(300);
    let frame: Uint8Array;
    if (isUdp) {
      const ends = { source: from.address, target: to.address };
      frame = ethernet(ip(ends, 17, udp(from.port, to.port, new Uint8Array(size), ends)));
    } else {
      const kind = random.below(10);
      const old = from.sizes[random.below(from.sizes.length || 1)];
      const skips = kind === 1 && from.sizes.length > 0 ? 1 + random.below(300) : 0;
      const hole = flow.hole;
      const again =
        kind === 2 && old
          ? old
          : kind === 3 && hole
            ? { start: hole.start, length: hole.end - hole.start }
            : undefined;
      const { start, length } = again ?? { start: from.sent + skips, length: kind >= 7 ? 0 : size };
      const acknowledged =
        random.below(3) === 0 && to.sizes.length > 0
          ? to.sizes[random.below(to.sizes.length)]!.start
          : to.sent;
      frame = segmentOf(from, to, start, length, acknowledged);
      // A bare acknowledgement behind a hole would begin at the next number; it opens none.
      if (length > 0 && !again) {
        from.sent = start + length;
        from.sizes.push({ start, length, time });
      }
      flow.send({ start, length, time });
      golden.get(nameOf(to, from, !isOut, 'tcp'))?.acknowledge(acknowledged, time);
    }
    if (isLost) flow.drops++;
    else {
      flow.packets++;
      flow.bytes += frame.length - 14;
    }
    pass(frame, isOut, isLost);
  }
  const named = (key: ReturnType<typeof describeKey>) => {
    const bytes = (text: string) =>
      connections.flatMap(one => one.sides).find(one => textOf(one.address) === text)!.address;
    return `${key.direction} ${key.protocol} ${bytes(key.source)}:${key.sourcePort} ${bytes(key.destination)}:${key.destinationPort}`;
  };
  let compared = 0;
  let again = 0;
  let samples = 0;
  table.each((key, entry) => {
    const flow = golden.get(named(describeKey(key)))!;
    compared++;
    again += flow.retransmissions;
    samples += flow.samples.length;
    t.strictSame(
      [entry.packets, entry.bytes, entry.drops, entry.retransmissions, entry.rtt.toFixed(6)],
      [flow.packets, flow.bytes, flow.drops, flow.retransmissions, flow.rtt.toFixed(6)],
      named(describeKey(key)),
    );
  });
  t.equal(unread, 0);
  t.equal(compared, golden.size);
  t.ok(again > 500 && samples > 500, `${again} segments sent again, ${samples} round trips`);
});

function textOf(address: readonly number[]): string {
  if (address.length === 4) return address.join('.');
  const view = new DataView(Uint8Array.from(address).buffer);
  return describeKey(Int32Array.of(0x106, 0, ...[0, 4, 8, 12].map(at => view.getInt32(at)), 0, 0, 0, 0))
    .source;
}
