import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PodRegistry } from '../../../../src/agent/pod-registry.ts';
import { answerCapture, type CaptureTarget } from '../../../../src/api/capture.ts';
import { openCaptureStream } from '../../../../src/api/client.ts';
import { socketPath } from '../../../../src/api/server.ts';
import { openPrivately } from '../../../../src/base/private-socket.ts';
import { CaptureHub } from '../../../../src/capture/live/capture-hub.ts';
import type { CaptureRecord } from '../../../../src/capture/live/record.ts';
import { readRecordStream } from '../../../../src/capture/live/record-stream.ts';
import { until } from '../../../../src/lab/until.ts';
import { worker } from '../fixtures/tapped.ts';

/** A socket that serves captures of a worker whose batches a test fills. */
async function served(
  t: { teardown(fn: () => unknown): void },
  places: (hub: CaptureHub) => readonly CaptureTarget[] = hub => [
    { device: 'flannel.1', families: [4], hub },
  ],
) {
  const one = worker('egress');
  const folder = mkdtempSync(join(tmpdir(), 'rs-sock-'));
  const path = join(folder, 's');
  const source = new CaptureHub(one.source);
  const pods = new PodRegistry(folder, () => {});
  const server = createServer(
    (incoming, response) => void answerCapture(incoming, response, { captures: places(source), pods }),
  );
  const socket = await openPrivately({ path, part: 'test', create: () => server, log: () => {} });
  t.teardown(async () => {
    const ended = socket.close();
    server.closeAllConnections();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  return { one, path, pods };
}

const frame = Uint8Array.from({ length: 90 }, (_, i) => i);

t.test('records cross the socket; hanging up ends the capture', async t => {
  const { one, path } = await served(t);
  const stop = new AbortController();
  const stream = await readRecordStream(
    await openCaptureStream(
      path,
      { snapLength: 64, points: ['drop', 'egress-inner'], peer: 'node-b' },
      stop.signal,
    ),
  );
  t.equal(stream.context.peers[1]?.id, 'node-b');
  t.equal(one.pass([{ frame }, { frame, peer: 2 }, { frame: new Uint8Array(60_000) }]), 17);
  const { value } = await stream.batches().next();
  t.strictSame(
    (value ?? []).map(record => [record.bytes.length, record.length]),
    [
      [64, 90],
      [64, 60_000],
    ],
  );
  stop.abort();
  await until('the workers stop copying', () => one.pass([{ frame }]) === 0);
});

/** Waits until a frame has a later time, so that before and after can be told apart. */
function nextTime(): Promise<unknown> {
  const now = Date.now();
  return until('a later time', () => Date.now() > now + 1);
}

t.test(
  'a record has the pod of its time, when its reader is late and the address has another pod',
  async t => {
    const { one, path, pods } = await served(t);
    const at = { network: 'pods', containerId: 'c1', ifname: 'eth0', netns: '', hostLinks: [] };
    pods.attached(at, ['10.244.1.5'], { namespace: 'default', name: 'web-1' });
    const stop = new AbortController();
    const stream = await readRecordStream(await openCaptureStream(path, { snapLength: 64 }, stop.signal));
    await nextTime();
    one.pass([{ frame }]);
    await nextTime();
    pods.detached(at);
    await nextTime();
    one.pass([{ frame }]);
    await nextTime();
    pods.attached({ ...at, containerId: 'c2' }, ['10.244.1.5'], { namespace: 'default', name: 'web-2' });
    await nextTime();
    one.pass([{ frame }]);
    const records: CaptureRecord[] = [];
    for await (const batch of stream.batches()) if (records.push(...batch) === 3) break;
    const names = records.map(({ time }) => stream.pods.at('10.244.1.5', Number(time / 1_000_000n)));
    t.strictSame(names, ['default/web-1', null, 'default/web-2']);
    stop.abort();
  },
);

t.test('what the agent refuses, the caller reads', async t => {
  const { path } = await served(t);
  const open = (selection: object) =>
    openCaptureStream(path, selection as { snapLength: number }, new AbortController().signal);
  await t.rejects(open({ snapLength: 0, points: ['nowhere'] }), {
    code: 'ECAPTURE',
    message: 'unknown capture point "nowhere"',
  });
  await t.rejects(open({ snapLength: 0, device: 'flannel.2' }), {
    code: 'ECAPTURE',
    message: 'no overlay flannel.2',
    hint: 'there are: flannel.1 (IPv4)',
  });
  await t.rejects(open({ snapLength: 0, family: 6 }), { message: 'no overlay carries IPv6' });
  await t.rejects(open({ snapLength: -1 }), {
    code: 'ECONFIG',
    message: /snapLength: -1 is not a whole number/,
  });
  await t.rejects(open({ snapLength: 0, pears: 1 }), { code: 'ECONFIG', hint: 'did you mean "peer"?' });
  await t.rejects(open({ snapLength: 0, points: Array(5000).fill('drop') }), {
    message: /more than 16384 bytes/,
  });
  const kernel = await served(t, () => []);
  await t.rejects(openCaptureStream(kernel.path, { snapLength: 0 }, new AbortController().signal), {
    code: 'ECAPTURE',
    message: /the kernel carries the packets/,
  });
});

t.test('a stop, an agent that is not there, and a path that cannot be', async t => {
  const { path } = await served(t);
  const stop = new AbortController();
  const stream = await readRecordStream(await openCaptureStream(path, { snapLength: 0 }, stop.signal));
  const next = stream.batches().next();
  await t.rejects(openCaptureStream(`${path}x`, { snapLength: 0 }, stop.signal), { code: 'ENOAGENT' });
  stop.abort();
  t.equal((await next).done, true);
  t.throws(() => socketPath(`/tmp/${'x'.repeat(120)}`), {
    code: 'ECONFIG',
    message: /longer than the path of a socket can be/,
  });
});
