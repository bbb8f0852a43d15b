import { PassThrough } from 'node:stream';
import t from 'tap';
import { type ErrorCode, RipstopError } from '../../../../src/base/errors.ts';
import { PacketDecoder } from '../../../../src/capture/decode/packet-decoder.ts';
import { createFilter } from '../../../../src/capture/filter/filter.ts';
import { PcapngFormat } from '../../../../src/capture/format/pcapng/writer.ts';
import { CaptureHub } from '../../../../src/capture/live/capture-hub.ts';
import type { CaptureRecord } from '../../../../src/capture/live/record.ts';
import {
  encodeContext,
  encodeOuterLink,
  RecordQueue,
  readRecordStream,
} from '../../../../src/capture/live/record-stream.ts';
import { CaptureCounts, runCapture } from '../../../../src/capture/run.ts';
import { LineSink, packetLine } from '../../../../src/capture/sink/line-sink.ts';
import type { CaptureSink } from '../../../../src/capture/sink/sink.ts';
import { StreamSink } from '../../../../src/capture/sink/stream-sink.ts';
import { TimeOrder } from '../../../../src/capture/time-order.ts';
import { commit } from '../../../../src/dataplane/descriptor/ring.ts';
import { NO_PEER, WRONG_VNI } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { activePoints, captureBatch } from '../../../../src/dataplane/tap/tap.ts';
import { TAPS } from '../../../../src/dataplane/tap/tap-control.ts';
import { until } from '../../../../src/lab/until.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { chunked, readAll, statisticsOf } from '../fixtures/files.ts';
import { ethernet, ip, joined, tcp, udp, V4 } from '../fixtures/frames.ts';
import { CONTEXT, type Judged, LINK, timesOf, worker } from '../fixtures/tapped.ts';

const frame = ethernet(ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), V4)));
const wrapped = (vni: number) => joined([8, 0, 0, 0, 0, 0, vni, 0], frame);

/** A worker's tap behind which these frames have gone by. */
function tapped(direction: 'egress' | 'ingress', judged: readonly Judged[]) {
  const one = worker(direction);
  one.want({ points: 31, snapLength: 0 });
  one.pass(judged, 5);
  return one.reader;
}

const egress = () =>
  tapped('egress', [
    { frame, segments: 3, error: 7, offload: [1, 0x81, 1398, 34, 16] },
    { frame, verdict: NO_PEER, peer: -1 },
  ]);
const ingress = () =>
  tapped('ingress', [
    { frame: wrapped(1) },
    { frame: joined(wrapped(9), Uint8Array.of(1)), verdict: WRONG_VNI, source: [192, 0, 2, 66] },
  ]);

const someRecords = () => [...egress().take(), ...ingress().take()];

/** The same records as messages. */
function someMessages(): Uint8Array {
  const queue = new RecordQueue();
  for (const reader of [egress(), ingress()]) reader.visit(queue.add);
  return queue.take();
}

t.test('records cross a socket unchanged, in any chunks', async t => {
  const records = someRecords();
  const links = CONTEXT.peers.flatMap(peer =>
    peer ? [encodeOuterLink({ ...LINK, address: peer.address })] : [],
  );
  const bytes = joined(encodeContext(CONTEXT), ...links, someMessages());
  for (const size of [1, 5, 100, bytes.length]) {
    const stream = await readRecordStream(chunked(bytes, size));
    t.strictSame(stream.context, JSON.parse(JSON.stringify(CONTEXT)));
    const read: CaptureRecord[] = [];
    for await (const batch of stream.batches()) read.push(...batch);
    t.strictSame(read, records, `chunks of ${size}`);
  }
});

t.test('a stream of an agent of another version is refused', async t => {
  const text = JSON.stringify({ ...CONTEXT, recordBytes: 96 });
  const message = Buffer.alloc(8 + text.length);
  message.writeInt32LE(text.length, 0);
  message.writeInt32LE(0x43, 4);
  message.write(text, 8);
  await t.rejects(readRecordStream(chunked(message, message.length)), {
    code: 'EAGENT',
    message: /of another version/,
  });
});

t.test('a broken stream says where', async t => {
  const bytes = joined(encodeContext(CONTEXT), someMessages());
  const drain = async (source: Uint8Array) => {
    for await (const _ of (await readRecordStream(chunked(source, 50))).batches());
  };
  const fault = (at: number, ...values: number[]) => {
    const copy = bytes.slice();
    copy.set(values, at);
    return copy;
  };
  const first = encodeContext(CONTEXT).length;
  await t.rejects(drain(bytes.subarray(0, bytes.length - 3)), {
    code: 'EAGENT',
    message: /ends inside a message/,
  });
  await t.rejects(drain(fault(4, 0)), { message: /byte \d+: it does not begin with a context/ });
  await t.rejects(drain(fault(first, 255, 255, 255, 127)), {
    message: /byte \d+: a message of 2147483647 bytes/,
  });
  await t.rejects(drain(fault(first + 4, 9)), { message: /kind 9/ });
  await t.rejects(drain(new Uint8Array(0)), { message: /context/ });
});

/** A capture of `batches` into memory. */
async function captured(
  batches: AsyncIterable<readonly CaptureRecord[]>,
  options: { packets?: number; stop?: AbortSignal; inner?: string; sink?: CaptureSink } = {},
) {
  const decoder = new PacketDecoder(CONTEXT, { points: 31, snapLength: 0, segments: false });
  const counts = new CaptureCounts(decoder.interfaces.length);
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on('data', chunk => chunks.push(chunk));
  const format = new PcapngFormat(decoder.interfaces, { application: 'ripstop' });
  const sink = options.sink ?? new StreamSink({ stream, format, statistics: () => counts.statistics() });
  const filter = await createFilter({ ...(options.inner ? { inner: options.inner } : {}) }, CONTEXT, decoder);
  const end = await runCapture({
    batches,
    decoder,
    filter,
    counts,
    sink,
    order: new TimeOrder(),
    packets: options.packets,
    stop: options.stop ?? new AbortController().signal,
  });
  const file = Buffer.concat(chunks);
  return { end, counts, file, ...(await readAll(file)) };
}

async function* of(...batches: CaptureRecord[][]) {
  yield* batches;
}

t.test('a capture to its end, with statistics', async t => {
  const { end, packets, file, error, counts } = await captured(of(someRecords(), someRecords()), {
    inner: 'tcp dst port 80',
  });
  t.equal(error, undefined);
  t.equal(end, 'source');
  t.equal(packets.length, 16);
  t.strictSame(counts.totals, { received: 16, dropped: 0, delivered: 16 });
  t.match(statisticsOf(file)[4], { received: 4n, accepted: 4n, delivered: 4n, dropped: 0n });
  const none = await captured(of(someRecords()), { inner: 'udp' });
  t.strictSame(none.counts.totals, { received: 8, dropped: 0, delivered: 0 });
  t.match(statisticsOf(none.file)[0], { received: 2n, accepted: 0n });
});

t.test('the count and a stop end it', async t => {
  const some = await captured(of(someRecords(), someRecords()), { packets: 3 });
  t.equal(some.end, 'count');
  t.equal(some.packets.length, 3);
  const control = new AbortController();
  async function* endless() {
    yield someRecords();
    setTimeout(() => control.abort(), 20);
    await new Promise(() => {});
  }
  const keep = setInterval(() => {}, 1000);
  const stopped = await captured(endless(), { stop: control.signal });
  clearInterval(keep);
  t.equal(stopped.end, 'stopped');
  t.equal(stopped.error, undefined, 'closed properly');
  t.equal(stopped.packets.length, 8);
});

t.test('a sink that fails: a gone reader is quiet, a full disk is not', async t => {
  const failing = (code: ErrorCode): CaptureSink => ({
    packet: async () => {
      throw new RipstopError(code, 'no more');
    },
    flush: async () => {},
    close: async () => {},
  });
  t.equal((await captured(of(someRecords()), { sink: failing('EPIPE') })).end, 'broken-pipe');
  await t.rejects(captured(of(someRecords()), { sink: failing('ENOSPC') }), { code: 'ENOSPC' });
});

t.test('the hub: each capture by itself, on while it is read, off afterwards', async t => {
  const one = worker('egress');
  const hub = new CaptureHub(one.source);
  const control = new AbortController();
  await t.rejects(hub.start({ snapLength: 0, peer: 'node-x' }, control.signal), { code: 'ECAPTURE' });
  const stream = await readRecordStream(
    await hub.start({ snapLength: 40, points: ['egress-inner'] }, control.signal),
  );
  const others = new AbortController();
  const drops = await readRecordStream(await hub.start({ snapLength: 0, points: ['drop'] }, others.signal));
  const lost = drops.batches();
  for (let i = 2; i < TAPS - 1; i++) await hub.start({ snapLength: 0 }, others.signal);
  await t.rejects(hub.start({ snapLength: 0 }, control.signal), {
    code: 'EINUSE',
    message: '5 captures are running',
  });
  const batches = stream.batches();
  t.equal(one.pass([{ frame }, { frame }, { frame, verdict: NO_PEER }]), 17);
  t.strictSame(
    ((await lost.next()).value as CaptureRecord[]).map(({ verdict, length }) => [verdict, length]),
    [[NO_PEER, 66]],
    'the other capture sees what it asked for',
  );
  others.abort();
  t.equal((await lost.next()).done, true);
  const { value } = await batches.next();
  t.strictSame(
    (value as CaptureRecord[]).map(record => [record.bytes.length, record.length, record.points]),
    [
      [40, 66, 1],
      [40, 66, 1],
      [40, 66, 1],
    ],
  );
  control.abort();
  t.equal((await batches.next()).done, true);
  t.equal(one.pass([{ frame }]), 0, 'off');
  const again = new AbortController();
  await hub.start({ snapLength: 0 }, again.signal);
  again.abort();
  t.equal(
    (await (await hub.start({ snapLength: 0 }, control.signal)).next()).done,
    true,
    'one that is over already',
  );
  const last = await hub.start({ snapLength: 0 }, new AbortController().signal);
  await last.next();
  t.not(one.pass([{ frame }]), 0, 'captures that were never read do not block a new one');
  await last.return();
  t.equal(one.pass([{ frame }]), 0);
});

t.test(
  'the hub: links to peers are asked for rarely, and told before the records that they are for',
  async t => {
    const one = worker('egress');
    const asked: string[] = [];
    let destinationMac: string | undefined;
    const reports: boolean[] = [];
    const source = { ...one.source, reportHeaders: (isOn: boolean) => void reports.push(isOn) };
    const hub = new CaptureHub(source, address => {
      asked.push(address);
      return address === LINK.address ? { ...LINK, destinationMac } : undefined;
    });
    const control = new AbortController();
    const streams = [await hub.start({ snapLength: 0 }, control.signal)];
    streams.push(await hub.start({ snapLength: 0, points: ['drop'] }, control.signal));
    const [stream, drops] = await Promise.all(streams.map(each => readRecordStream(each)));
    const batches = stream!.batches();
    const links = async () =>
      ((await batches.next()).value as CaptureRecord[]).map(({ link }) => link?.destinationMac);
    one.pass([{ frame }, { frame }, { frame, peer: 2 }, { frame, verdict: NO_PEER, peer: -1 }]);
    t.strictSame(await links(), [undefined, undefined, undefined, undefined]);
    t.strictSame(asked, [LINK.address, '2001:db8::3'], 'once for all records of a visit');
    destinationMac = LINK.destinationMac;
    await until('a MAC that was not known', async () => {
      one.pass([{ frame }]);
      return (await links())[0] === LINK.destinationMac;
    });
    control.abort();
    t.equal((await batches.next()).done, true);
    let dropped = 0;
    for await (const records of drops!.batches()) dropped += records.length;
    t.equal(dropped, 1);
    t.strictSame(reports, [true, false], 'the kernel reports headers while any capture runs');
  },
);

t.test('a capture sees nothing that a worker was about to tell the one before', async t => {
  const one = worker('egress');
  const hub = new CaptureHub(one.source);
  const others = new AbortController();
  t.teardown(() => others.abort());
  for (let i = 2; i < TAPS - 1; i++) await hub.start({ snapLength: 0 }, others.signal);
  const control = new AbortController();
  const former = await hub.start({ snapLength: 0 }, control.signal);
  await former.next();
  const [tap] = one.taps.each.filter(each => activePoints(each) !== 0);
  control.abort();
  await former.return();
  // All taps but the one that is given back are taken.
  await hub.start({ snapLength: 0 }, others.signal);
  setTimeout(() => {
    captureBatch(tap!, 31, 1, one.sources, timesOf(0));
    commit(tap!.ring);
  }, 10);
  const next = await readRecordStream(await hub.start({ snapLength: 0, points: ['drop'] }, others.signal));
  const batches = next.batches();
  one.pass([{ frame, verdict: NO_PEER }]);
  const { value } = await batches.next();
  t.strictSame(
    (value as CaptureRecord[]).map(({ verdict }) => verdict),
    [NO_PEER],
  );
});

t.test('text for a terminal', async t => {
  const decoder = new PacketDecoder(CONTEXT, { points: 31, snapLength: 100, segments: false });
  const stream = new PassThrough();
  const sink = new LineSink(stream, packetLine(decoder.interfaces, CONTEXT));
  for (const record of someRecords()) for (const packet of decoder.packets(record)) await sink.packet(packet);
  await sink.close();
  const lines = String(stream.read()).trim().split('\n');
  t.equal(lines.length, 8);
  const flow =
    '10\\.244\\.1\\.5\\.40000 > 10\\.244\\.2\\.9\\.80: TCP Flags \\[S\\], seq 1, win 500, length 0';
  t.match(lines[2], new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\.\\d{9} egress-inner  ${flow}  \\(drop: no-peer, `));
  t.match(
    lines[4],
    new RegExp(
      `ingress-outer 192.0.2.2.50000 > 192.0.2.1.8472: VXLAN, flags \\[I\\] \\(0x08\\), vni 1 . ${flow}  \\(forward; peer node-b \\(192.0.2.2\\)\\)$`,
    ),
  );
});

t.test(
  'what was lost before a packet that is filtered out is told by the next one that passes',
  { skip: skipUnless('tcpdump') },
  async t => {
    const datagram = ethernet(ip(V4, 17, udp(1, 53, new Uint8Array(9), V4)));
    const [wanted, other] = tapped('egress', [{ frame }, { frame: datagram }]).take();
    const lost = (all: number, forwarded: number) => ({ all, forwarded, dropped: all - forwarded });
    const records = [wanted!, { ...other!, lost: lost(4, 3) }, { ...wanted!, lost: lost(2, 2) }];
    const { packets, counts, file } = await captured(of(records), { inner: 'tcp' });
    t.strictSame(
      packets.map(packet => [packet.interface, packet.dropped]),
      [
        [0, undefined],
        [1, undefined],
        [0, 6n],
        [1, 5n],
      ],
    );
    t.strictSame(counts.totals, { received: 18, dropped: 12, delivered: 4 });
    t.match(statisticsOf(file)[0], { received: 9n, dropped: 6n, accepted: 2n, delivered: 2n });
  },
);

t.test(
  'the hub: captures one after another use the same rings, so that the others stay untouched',
  async t => {
    const one = worker('egress');
    const hub = new CaptureHub(one.source);
    for (let round = 0; round < TAPS + 2; round++) {
      const control = new AbortController();
      const stream = await readRecordStream(await hub.start({ snapLength: 0 }, control.signal));
      const batches = stream.batches();
      const next = batches.next();
      await until('the capture to be on', () => one.pass([{ frame }]) > 0);
      t.equal((await next).done, false);
      control.abort();
      t.equal((await batches.next()).done, true);
      // A tap comes back when no worker can still write to it.
      await new Promise(resolve => setTimeout(resolve, 200));
    }
    const touched = one.source.rings.filter(([ring]) => new Uint8Array(ring!, 256).some(byte => byte !== 0));
    t.equal(touched.length, 1, `${touched.length} of ${TAPS} taps`);
  },
);
