import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Selection } from '../../../../src/capture/filter/selection.ts';
import type { CaptureRecord } from '../../../../src/capture/live/record.ts';
import { readRecordStream } from '../../../../src/capture/live/record-stream.ts';
import type { FlightRecorder } from '../../../../src/capture/recorder/flight-recorder.ts';
import { writeRecording } from '../../../../src/capture/recorder/recording.ts';
import { FileSink } from '../../../../src/capture/sink/file-sink.ts';
import * as verdicts from '../../../../src/dataplane/descriptor/verdicts.ts';
import { type Ends, ethernet, ip, tcp, udp } from '../fixtures/frames.ts';
import { recorded } from '../fixtures/recorded.ts';
import { tsharkFields } from '../fixtures/tshark.ts';

const POD_A: Ends = { source: [10, 244, 1, 2], target: [10, 244, 2, 3] };
const POD_B: Ends = { source: POD_A.target, target: POD_A.source };

async function read(
  recorder: FlightRecorder,
  range: Parameters<FlightRecorder['stream']>[0],
  selection: Selection = { snapLength: 0 },
): Promise<CaptureRecord[]> {
  const { batches } = await readRecordStream(recorder.stream(range, selection));
  const records: CaptureRecord[] = [];
  for await (const batch of batches()) records.push(...batch);
  return records;
}

const datagram = (payload: number) =>
  ethernet(ip(POD_A, 17, udp(1000, 2000, new Uint8Array(payload), POD_A)));

t.test('the last lost frames of both directions come with verdict, peer, time and headers', async t => {
  const { egress, ingress, recorder } = recorded(t);
  egress.pass([{ frame: datagram(1400), verdict: verdicts.TOO_BIG, peer: 1, error: 90 }]);
  egress.pass([{ frame: datagram(10), verdict: verdicts.NO_PEER, peer: -1 }]);
  const outer = new Uint8Array(70).fill(9);
  ingress.pass([{ frame: outer, verdict: verdicts.UNKNOWN_PEER, peer: -1, source: [203, 0, 113, 9] }]);
  ingress.pass([{ frame: outer, verdict: verdicts.FORWARD }]);
  const lost = await read(recorder, { lostFrames: 50 });
  t.same(
    lost.map(({ verdict, direction, remote, error, length }) => [
      verdict,
      direction,
      remote?.id,
      error,
      length,
    ]),
    [
      [verdicts.TOO_BIG, 'egress', 'node-b', 90, datagram(1400).length],
      [verdicts.NO_PEER, 'egress', undefined, 0, datagram(10).length],
      [verdicts.UNKNOWN_PEER, 'ingress', undefined, 0, 70],
    ],
  );
  t.same(lost[0]?.bytes, datagram(1400).subarray(0, 42), 'headers only');
  t.same(lost[1]?.bytes, datagram(10).subarray(0, 42), 'also where the payload is short');
  t.same([...(lost[2]?.address?.subarray(12) ?? [])], [203, 0, 113, 9]);
  t.equal((await read(recorder, { lostFrames: 1 })).length, 1);
  t.same(
    recorder.state.sampling.map(({ reason, lost, recorded, every }) => [reason, lost, recorded, every]),
    [
      ['no-peer', 1, 1, 1],
      ['too-big', 1, 1, 1],
      ['unknown-peer', 1, 1, 1],
    ],
  );
});

t.test(
  'during a flood, records tell how many frames before them are not kept, and no lost frame is missing',
  async t => {
    const { egress, recorder } = recorded(t);
    const batch = Array.from({ length: 64 }, () => ({ frame: datagram(10), verdict: verdicts.NO_PEER }));
    const rounds = 300;
    for (let i = 0; i < rounds; i++) {
      egress.pass(batch, 1000 * (1 + Math.floor(i / 100)));
      if (i % 10 === 0) recorder.journal.drain();
    }
    recorder.journal.drain();
    const [sampling] = recorder.journal.sampling();
    t.equal(sampling?.lost, rounds * 64);
    const frames = recorder.journal.last(1000);
    const after = frames.slice(1).reduce((sum, { skipped }) => sum + skipped + 1, 1);
    t.ok(after <= rounds * 64 && after > rounds * 64 - 20_000, `${after} frames from the first kept one on`);
    t.ok(frames.length <= 256, 'bounded');
  },
);

t.test('frames of a peer that has left are still named by it', async t => {
  const { egress, recorder, source } = recorded(t);
  egress.pass([{ frame: datagram(10), verdict: verdicts.SEND_FAILED, peer: 1 }]);
  source.beforeChange();
  source.peerAt = () => ({ id: 'node-z', address: '192.0.2.99', port: 8472, remoteChecksum: false });
  egress.pass([{ frame: datagram(10), verdict: verdicts.SEND_FAILED, peer: 1 }]);
  const lost = await read(recorder, { lostFrames: 2 });
  t.same(
    lost.map(({ remote }) => remote?.id),
    ['node-b', 'node-z'],
  );
});

t.test('the headers of all frames are kept while it is on, within the memory', async t => {
  const { egress, ingress, recorder } = recorded(t, 64 << 10);
  await t.rejects(async () => read(recorder, { pastSeconds: 10 }), {
    code: 'ECAPTURE',
    hint: /ripstop recorder on/,
  });
  egress.pass([{ frame: datagram(10) }]);
  recorder.isRecording = true;
  for (let i = 0; i < 100; i++) {
    const now = performance.now();
    egress.pass([{ frame: datagram(i) }, { frame: datagram(i), verdict: verdicts.NO_PEER, peer: -1 }], now);
    ingress.pass(
      [{ frame: new Uint8Array(100).fill(i), peer: 2, source: [...Array(16).keys()] }],
      now + 0.01,
    );
  }
  const { bytes, capacity, isRecording: isOn } = recorder.state;
  t.ok(isOn && bytes <= 128 << 10 && capacity > 400, `${bytes} bytes, ${capacity} frames`);
  const all = await read(recorder, { pastSeconds: 60 });
  t.same(
    [all.length, all.filter(({ direction }) => direction === 'ingress').length],
    [300, 100],
    'none from before it was on',
  );
  t.ok(
    all.every(({ time }, i) => i === 0 || time >= (all[i - 1]?.time ?? 0n)),
    'in the order of their times',
  );
  t.equal(all.find(({ direction }) => direction === 'ingress')?.remote?.id, 'node-c');
  t.equal((await read(recorder, { pastSeconds: 60 }, { snapLength: 0, verdicts: ['drop'] })).length, 100);
  t.equal((await read(recorder, { pastSeconds: 60 }, { snapLength: 0, peer: 'node-c' })).length, 100);
  t.equal((await read(recorder, { pastSeconds: 60 }, { snapLength: 0, points: ['drop'] })).length, 100);
  t.equal((await read(recorder, { pastSeconds: 60, framesPerWorker: 5 })).length, 10);
  for (let i = 0; i < 5000; i++) egress.pass([{ frame: datagram(10) }]);
  t.ok((await read(recorder, { pastSeconds: 60 })).length <= capacity, 'the oldest are overwritten');
  recorder.isRecording = false;
  await t.rejects(async () => read(recorder, { pastSeconds: 10 }), { code: 'ECAPTURE' });
});

t.test('a RST is found when its connection carried data before, in either direction', async t => {
  const { egress, ingress, recorder } = recorded(t);
  recorder.isRecording = true;
  const segment = (flags: number, payload: number, ends = POD_A, [from, to] = [40000, 80]) =>
    ethernet(ip(ends, 6, tcp({ from, to, flags, sequence: 1 }, new Uint8Array(payload), ends)));
  const RST = 4;
  egress.pass([{ frame: segment(RST, 0) }]);
  t.equal(recorder.findReset(), undefined, 'without data');
  const received = new Uint8Array([...new Uint8Array(8), ...segment(16, 100, POD_B, [80, 40000])]);
  ingress.pass([{ frame: received }]);
  t.equal(recorder.findReset(), undefined, 'data alone');
  egress.pass([{ frame: segment(RST, 0, POD_A, [40001, 80]) }]);
  t.equal(recorder.findReset(), undefined, 'another connection');
  egress.pass([{ frame: segment(RST, 0) }]);
  t.equal(recorder.findReset(), '10.244.1.2:40000 to 10.244.2.3:80');
  t.equal(recorder.findReset(), undefined, 'once');
});

t.test('a recording is a file of mode 0600 that tshark reads, each frame once', async t => {
  const { egress, recorder } = recorded(t);
  egress.pass([{ frame: datagram(1400), verdict: verdicts.TOO_BIG }]);
  await new Promise(resolve => setTimeout(resolve, 5));
  recorder.isRecording = true;
  egress.pass([{ frame: datagram(20) }, { frame: datagram(30), verdict: verdicts.NO_PEER, peer: -1 }]);
  const directory = mkdtempSync(join(tmpdir(), 'recorder-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'a.pcapng');
  const packets = await writeRecording(recorder, {
    framesPerWorker: 1000,
    reason: 'a test',
    open: options => FileSink.open({ ...options, path }),
  });
  t.same(readdirSync(directory), ['a.pcapng']);
  t.equal(statSync(path).mode & 0o777, 0o600);
  const file = readFileSync(path);
  t.match(file.toString('latin1'), /a test/);
  const rows = tsharkFields(file, ['frame.interface_name', 'frame.comment', 'frame.cap_len']);
  t.equal(rows.length, packets);
  t.same(rows.map(([name]) => name).sort(), ['drop', 'drop', 'egress-inner', 'egress-inner', 'egress-inner']);
  t.ok(rows.every(([, , bytes]) => Number(bytes) === 42));
});

t.test(
  'frames lost of a peer do not count for the next peer in its slot, nor does path MTU discovery',
  async t => {
    const { egress, recorder, source } = recorded(t);
    const lose = (verdict: number) => egress.pass([{ frame: datagram(10), verdict, peer: 1 }]);
    lose(verdicts.SEND_FAILED);
    lose(verdicts.TOO_BIG);
    t.equal(recorder.journal.lostOfPeer('node-b'), 1);
    source.slotFreed(1);
    t.equal(recorder.journal.lostOfPeer('node-b'), 0);
    lose(verdicts.SEND_FAILED);
    t.equal(recorder.journal.lostOfPeer('node-b'), 1, 'from then on');
  },
);

t.test('a flood of one reason does not hide the last frames lost for another one', async t => {
  const { egress, recorder } = recorded(t);
  egress.pass([{ frame: datagram(10), verdict: verdicts.SEND_FAILED, peer: 1 }]);
  for (let i = 0; i < 5; i++)
    egress.pass([{ frame: datagram(10), verdict: verdicts.NO_PEER, peer: -1 }], 1000 + i);
  recorder.journal.drain();
  const [one] = recorder.journal.last(1, ({ verdict }) => verdict === verdicts.SEND_FAILED);
  t.equal(one?.verdict, verdicts.SEND_FAILED);
});
