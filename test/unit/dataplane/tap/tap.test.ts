import t from 'tap';
import { NO_LOSSES } from '../../../../src/capture/live/record.ts';
import {
  FORWARD,
  NO_PEER,
  SEND_FAILED,
  SPOOFED_SOURCE,
  UNKNOWN_PEER,
} from '../../../../src/dataplane/descriptor/verdicts.ts';
import * as point from '../../../../src/dataplane/tap/record-layout.ts';
import { noteDecided, noteRead, tapBatch } from '../../../../src/dataplane/tap/tap.ts';
import { seeded } from '../../../fixtures/random.ts';
import { type Judged, RecordReader, worker } from '../../capture/fixtures/tapped.ts';

const ALL = 31;
const WHOLE = { points: ALL, snapLength: 0 };

t.test('off until it is wanted, and off again', async t => {
  const egress = worker('egress');
  const frame = Uint8Array.of(1, 2, 3);
  t.equal(egress.pass([{ frame }]), 0);
  egress.want(WHOLE);
  t.equal(egress.pass([{ frame }]), point.EGRESS_INNER | point.EGRESS_OUTER | point.DROP);
  t.equal(egress.reader.take().length, 1);
  egress.want({ points: point.INGRESS_INNER, snapLength: 0 });
  t.equal(egress.pass([{ frame }]), 0, 'points of the other direction');
  egress.want(undefined);
  t.equal(egress.pass([{ frame }]), 0);
  t.strictSame(egress.reader.take(), []);
});

t.test('a record holds what the descriptor said, at any alignment and any snap length', async t => {
  const random = seeded(t, 70);
  for (const snapLength of [0, 1, 2, 3, 4, 5, 63, 128]) {
    const egress = worker('egress');
    egress.want({ points: ALL, snapLength });
    const judged: Judged[] = Array.from({ length: 40 }, () => ({
      frame: random.bytes(random.between(1, 300)),
      peer: random.between(-1, 100),
      verdict: random.pick([FORWARD, NO_PEER]),
      offload: [1, 0x81, 1398, 34, 16],
      segments: random.between(1, 45),
      error: random.between(0, 100),
      socket: random.between(0, 3),
    }));
    egress.pass(judged, 1234.5678, 4321);
    const records = egress.reader.take();
    t.equal(records.length, judged.length);
    for (const [i, { frame, ...sent }] of judged.entries()) {
      const { bytes, ...read } = records[i]!;
      t.strictSame(bytes, frame.slice(0, snapLength || undefined));
      t.match(read, {
        direction: 'egress',
        points:
          sent.verdict === NO_PEER
            ? point.EGRESS_INNER | point.DROP
            : point.EGRESS_INNER | point.EGRESS_OUTER,
        length: frame.length,
        verdict: sent.verdict,
        offload: { flags: 1, gsoType: 0x81, gsoSize: 1398, csumStart: 34, csumOffset: 16 },
        segments: sent.segments,
        error: sent.error,
        port: sent.socket,
        tookNs: 4321,
        lost: NO_LOSSES,
      });
      t.notOk('address' in read);
    }
    const expected = BigInt(Math.round((performance.timeOrigin + 1234.5678) * 1e6));
    const off = records[0]!.time - expected;
    t.ok(off > -2000n && off < 2000n, `the stamp is ${off} ns off the clock`);
  }
});

t.test('ingress: the record begins at the encapsulation header, opened or not', async t => {
  const ingress = worker('ingress');
  ingress.want(WHOLE);
  const frame = Uint8Array.from({ length: 60 }, (_, i) => i);
  const six = [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 3];
  ingress.pass([
    { frame, source: [192, 0, 2, 2], port: 50123 },
    { frame, verdict: UNKNOWN_PEER, peer: -1, source: six, port: 9 },
    { frame, verdict: SPOOFED_SOURCE },
  ]);
  const records = ingress.reader.take();
  for (const { bytes, length, direction } of records) {
    t.equal(direction, 'ingress');
    t.strictSame([bytes, length], [frame, 60]);
  }
  t.equal(records[0]!.points, point.INGRESS_OUTER | point.INGRESS_INNER);
  t.strictSame([...records[0]!.address!.slice(10)], [255, 255, 192, 0, 2, 2]);
  t.equal(records[0]!.port, 50123);
  t.equal(records[1]!.points, point.INGRESS_OUTER | point.DROP);
  t.strictSame([...records[1]!.address!], six);
  t.equal(records[2]!.points, point.INGRESS_OUTER | point.DROP);
});

t.test('the workers leave out other verdicts and other peers', async t => {
  const egress = worker('egress');
  const batchOf = [FORWARD, NO_PEER, SEND_FAILED, FORWARD].map((verdict, i) => ({
    frame: Uint8Array.of(i),
    verdict,
    peer: i,
  }));
  const seen = () => egress.reader.take().map(record => record.bytes[0]);
  egress.want({ ...WHOLE, verdicts: [NO_PEER, SEND_FAILED] });
  egress.pass(batchOf);
  t.strictSame(seen(), [1, 2]);
  egress.want({ ...WHOLE, peer: 3 });
  egress.pass(batchOf);
  t.strictSame(seen(), [3]);
  egress.want({ points: point.DROP, snapLength: 0 });
  egress.pass(batchOf);
  t.strictSame(seen(), [1, 2]);
});

t.test('a reader that is too slow loses records, counted once, in place; nothing else happens', async t => {
  const egress = worker('egress', 8, 4096);
  egress.want(WHOLE);
  const frame = new Uint8Array(1000);
  for (let i = 0; i < 10; i++) egress.pass([{ frame }]);
  const first = egress.reader.take();
  t.ok(first.length >= 2 && first.length < 10, `${first.length} of 10 fit`);
  t.ok(first.every(record => record.lost.all === 0));
  egress.pass([{ frame }]);
  egress.pass([{ frame }]);
  t.strictSame(
    egress.reader.take().map(record => record.lost.all),
    [10 - first.length, 0],
  );
  egress.pass([{ frame: new Uint8Array(60_000) }]);
  egress.pass([{ frame }]);
  t.strictSame(
    egress.reader.take().map(record => record.lost.all),
    [1],
    'a frame larger than the ring',
  );
});

t.test('several workers: in the order of time', async t => {
  const workers = [worker('egress'), worker('ingress')];
  for (const one of workers) one.want(WHOLE);
  for (const [i, order] of [1, 0, 0, 1, 1, 0].entries())
    workers[order]!.pass([{ frame: Uint8Array.of(i) }], i);
  const reader = new RecordReader(workers.map(one => one.ring));
  t.strictSame(
    reader.take().map(record => record.bytes[0]),
    [0, 1, 2, 3, 4, 5],
  );
  workers[0]!.pass([{ frame: Uint8Array.of(9) }]);
  reader.discard();
  t.strictSame(reader.take(), []);
});

t.test('a wall clock that was set, or a machine that slept, is followed', async t => {
  const one = worker('egress');
  one.want(WHOLE);
  one.pass([{ frame: Uint8Array.of(1) }]);
  one.reader.take();
  const taps = { ...one.taps, wallMs: () => 1_790_000_000_123.5 };
  t.equal(noteRead(taps), true);
  noteDecided(taps, 7);
  tapBatch(taps, 1, one.sources);
  const [record] = one.reader.take();
  t.equal(record!.time, 1_790_000_000_123_500_000n);
  t.ok(record!.tookNs >= record!.decidedNs && record!.decidedNs >= 0);
});
