import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { CaptureTarget } from '../../../src/api/capture.ts';
import { openCaptureStream, openRecording, postRecorder } from '../../../src/api/client.ts';
import { handleRequest } from '../../../src/api/routes.ts';
import { createLog } from '../../../src/base/log.ts';
import { openPrivately } from '../../../src/base/private-socket.ts';
import { CaptureHub } from '../../../src/capture/live/capture-hub.ts';
import { PodNames } from '../../../src/capture/live/pods.ts';
import { readRecordStream } from '../../../src/capture/live/record-stream.ts';
import * as verdicts from '../../../src/dataplane/descriptor/verdicts.ts';
import { recorded } from '../capture/fixtures/recorded.ts';
import { tsharkFields } from '../capture/fixtures/tshark.ts';

/** The agent's socket over a data plane whose batches a test fills. */
async function served(t: { teardown(undo: () => unknown): void }, hasRecorder = true) {
  const plane = recorded(t);
  const folder = mkdtempSync(join(tmpdir(), 'rs-rec-'));
  const path = join(folder, 's');
  const target: CaptureTarget = {
    device: 'flannel.1',
    families: [4],
    hub: new CaptureHub(plane.source),
    recorder: hasRecorder ? plane.recorder : undefined,
  };
  const pods = { version: 0, all: [], names: new PodNames() };
  const debug = () => ({ captures: [target], flows: [], pods, node: undefined });
  const log = createLog('silent');
  const server = createServer((incoming, response) =>
    handleRequest(incoming, response, {} as never, debug, log),
  );
  const socket = await openPrivately({ path, part: 'test', create: () => server, log: () => {} });
  t.teardown(async () => {
    const ended = socket.close();
    server.closeAllConnections();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  return { ...plane, path };
}

const NEVER = new AbortController().signal;
const frame = Uint8Array.from({ length: 90 }, (_, i) => i);

t.test('recording of all headers is turned on and off, for all devices or one', async t => {
  const { path, recorder } = await served(t);
  await postRecorder(path, true);
  t.ok(recorder.isRecording);
  await postRecorder(path, false, 'flannel.1');
  t.notOk(recorder.isRecording);
  await t.rejects(postRecorder(path, true, 'flannel.9'), {
    code: 'ECAPTURE',
    message: 'no overlay flannel.9',
  });
});

t.test('lost and past frames come as the stream of a capture, which ends', async t => {
  const { path, egress } = await served(t);
  await postRecorder(path, true);
  egress.pass([{ frame, verdict: verdicts.SEND_FAILED, error: 1 }, { frame }]);
  for (const [range, count] of [
    [{ lostFrames: 9 }, 1],
    [{ pastSeconds: 60 }, 2],
  ] as const) {
    const { batches } = await readRecordStream(
      await openCaptureStream(path, { snapLength: 0, ...range }, NEVER),
    );
    let records = 0;
    for await (const batch of batches()) records += batch.length;
    t.equal(records, count);
  }
});

t.test('what there is comes as one pcapng file', async t => {
  const { path, egress } = await served(t);
  egress.pass([{ frame, verdict: verdicts.NO_PEER, peer: -1 }]);
  const parts: Uint8Array[] = [];
  for await (const part of await openRecording(path, 'flannel.1', NEVER)) parts.push(part);
  const rows = tsharkFields(Buffer.concat(parts), ['frame.interface_name', 'frame.comment']);
  t.same(
    rows.map(([name]) => name),
    ['egress-inner', 'drop'],
  );
  t.ok(rows.every(([, comment]) => comment?.startsWith('drop: no-peer')));
});

t.test('a node without a flight recorder says how to get one', async t => {
  const { path } = await served(t, false);
  const refusal = {
    code: 'ECAPTURE',
    message: 'the flight recorder of flannel.1 is off',
    hint: /`recorder`/,
  };
  await t.rejects(postRecorder(path, true), refusal);
  await t.rejects(openRecording(path, 'flannel.1', NEVER), refusal);
  await t.rejects(openCaptureStream(path, { snapLength: 0, lostFrames: 5 }, NEVER), refusal);
});
