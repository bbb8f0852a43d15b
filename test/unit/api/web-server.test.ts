import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Recordings } from '../../../src/agent/recorder/recordings.ts';
import {
  isAllowedHost,
  isAuthorized,
  type WebOptions,
  webLink,
  webToken,
} from '../../../src/api/web/access.ts';
import { History } from '../../../src/api/web/history.ts';
import type { CaptureRequest, CaptureView, View } from '../../../src/api/web/messages.ts';
import { WebServer } from '../../../src/api/web/server.ts';
import type { WebSource } from '../../../src/api/web/source.ts';
import { FlowMonitor } from '../../../src/capture/flows/flow-monitor.ts';
import { readCapture } from '../../../src/capture/format/open.ts';
import { CaptureHub } from '../../../src/capture/live/capture-hub.ts';
import { PodNames } from '../../../src/capture/live/pods.ts';
import type { CounterSnapshot } from '../../../src/dataplane/dataplane.ts';
import * as verdicts from '../../../src/dataplane/descriptor/verdicts.ts';
import { until } from '../../../src/lab/until.ts';
import { chunked } from '../capture/fixtures/files.ts';
import { ethernet, ip, tcp, V4 } from '../capture/fixtures/frames.ts';
import { worker } from '../capture/fixtures/tapped.ts';

const LOOPBACK: WebOptions = { address: '127.0.0.1', port: 0, token: '0123456789abcdef', hosts: [] };

interface Owner {
  teardown(undo: () => void): void;
}

const tally = (frames: number) => ({ frames, bytes: frames * 100 });
const counters = (drops: number, sent = 0) =>
  ({
    verdicts: { 'wrong-vni': tally(drops), forward: tally(sent) },
    peers: { b: { egress: tally(sent), ingress: tally(0) } },
  }) as unknown as CounterSnapshot;

const since = '1970-01-01T00:00:00.000Z';
const PODS = [{ address: '10.244.1.5', namespace: 'default', name: 'web-1', since, until: null }];

/** A page over a worker whose batches a test fills. */
async function served(t: Owner, options: Partial<WebOptions> = {}, withHub = true) {
  const one = worker('egress');
  const hub = new CaptureHub(one.source);
  const monitor = new FlowMonitor(one.source, 'flannel.1');
  const stateDir = mkdtempSync(join(tmpdir(), 'web-state-'));
  t.teardown(() => rmSync(stateDir, { recursive: true }));
  const source: WebSource = {
    identity: () => ({ node: 'n1', version: '1', ready: true, reasons: [], overlays: [] }),
    peers: () => [],
    counters: () => [counters(3)],
    debug: () => ({
      captures: withHub ? [{ device: 'flannel.1', families: [4], hub }] : [],
      flows: [monitor],
      pods: { version: 0, all: PODS, names: new PodNames(PODS) },
      node: undefined,
    }),
    recordings: new Recordings(stateDir),
  };
  const page = await WebServer.serve(source, { ...LOOPBACK, ...options });
  t.teardown(() => page.close());
  const url = new URL(page.link);
  const token = url.hash.replace('#token=', '');
  const ask = (method: string, path: string, more: { host?: string; token?: string; body?: unknown } = {}) =>
    new Promise<{ status: number; headers: Record<string, unknown>; bytes: Buffer }>((resolve, reject) => {
      const headers = {
        host: more.host ?? url.host,
        authorization: `Bearer ${more.token ?? token}`,
      };
      const call = request({ host: url.hostname, port: url.port, path, method, headers }, response => {
        const parts: Buffer[] = [];
        response.on('data', part => parts.push(part));
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            bytes: Buffer.concat(parts),
          }),
        );
      });
      call.on('error', reject);
      call.end(more.body === undefined ? undefined : JSON.stringify(more.body));
    });
  const read = async <T>(method: string, path: string, body?: unknown): Promise<T> =>
    JSON.parse((await ask(method, path, { body })).bytes.toString());
  return { one, ask, read, stateDir };
}

const REQUEST: CaptureRequest = {
  device: '',
  points: ['egress-inner'],
  verdicts: [],
  peer: '',
  filter: '',
  snapLength: 0,
  packets: 100,
};
const frame = ethernet(ip(V4, 6, tcp({ from: 1, to: 80, sequence: 1, flags: 2 }, Uint8Array.of(1), V4)));

t.test('who may ask: a token, even on loopback', async t => {
  const { ask } = await served(t);
  t.equal((await ask('GET', '/api/view')).status, 200);
  for (const token of ['', 'x', 'x'.repeat(32)]) {
    const { status, headers, bytes } = await ask('GET', '/api/view', { token });
    t.equal(status, 401);
    t.match(headers['www-authenticate'], /Bearer/);
    t.match(JSON.parse(bytes.toString()), { error: /token/, hint: /ripstop ui/ });
  }
  t.equal((await ask('GET', '/', { token: '' })).status, 200, 'the page itself holds no secret');
  t.equal((await ask('GET', '/web.js/../../package.json', { token: '' })).status, 401);
  t.notOk(isAuthorized(undefined, 'secret'));
  t.notOk(isAuthorized('Basic secret', 'secret'));
  t.ok(isAuthorized('bearer secret', 'secret'));
});

t.test('recordings of the flight recorder are listed and downloaded, and no other file is', async t => {
  const { ask, read, stateDir } = await served(t);
  t.same((await read<View>('GET', '/api/view')).recordings, []);
  const path = await new Recordings(stateDir).newPath('too-big', 'flannel.1', new Date(0));
  writeFileSync(path, 'pcapng');
  writeFileSync(join(stateDir, 'recordings', 'other'), 'secret');
  const { recordings } = await read<View>('GET', '/api/view');
  const name = '19700101T000000000Z-too-big-flannel.1.pcapng';
  t.same(recordings, [{ name, trigger: 'too-big', bytes: 6, at: '1970-01-01T00:00:00.000Z' }]);
  t.equal((await ask('GET', `/api/recording?name=${name}`)).bytes.toString(), 'pcapng');
  t.equal((await ask('GET', `/api/recording?name=${name}`, { token: '' })).status, 401);
  for (const other of ['other', '../recordings/other', `../recordings/${name}`, ''])
    t.equal((await ask('GET', `/api/recording?name=${encodeURIComponent(other)}`)).status, 404, other);
});

t.test(
  'by which name: an address or localhost, so that no name elsewhere can be made to point here',
  async t => {
    const { ask } = await served(t, { hosts: ['node-a.example'] });
    t.equal((await ask('GET', '/', { host: 'evil.example' })).status, 421);
    t.equal((await ask('GET', '/api/view', { host: 'evil.example:8473' })).status, 421);
    t.equal(
      (await ask('GET', '/api/view', { host: 'localhost:9999' })).status,
      200,
      'a tunnel has its own port',
    );
    t.equal((await ask('GET', '/api/view', { host: 'Node-A.example' })).status, 200);
    for (const host of ['127.0.0.1', '[::1]:80', '192.0.2.1:80']) t.ok(isAllowedHost(host, []), host);
    for (const host of [undefined, '', 'a b', '127.0.0.1.evil.example', '[::1', 'x:y:z', 'localhost.'])
      t.notOk(isAllowedHost(host, []), String(host));
  },
);

t.test('nothing from elsewhere: the policy that every answer bears', async t => {
  const { ask } = await served(t);
  for (const path of ['/', '/web.js', '/web.css', '/icon.svg', '/api/view', '/nothing']) {
    const { headers } = await ask('GET', path);
    t.match(
      headers['content-security-policy'],
      /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'/,
    );
    t.match(headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' });
    t.equal(headers['access-control-allow-origin'], undefined);
  }
});

t.test('elsewhere than on loopback only with a token of the user', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rs-token-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const tokenFile = join(folder, 'token');
  t.throws(() => webToken('0.0.0.0', ''), { code: 'ECONFIG', hint: /--web-token-file/ });
  t.throws(() => webToken('0.0.0.0', tokenFile), { code: 'ECONFIG', message: /ENOENT/ });
  writeFileSync(tokenFile, 'short\n');
  t.throws(() => webToken('0.0.0.0', tokenFile), { code: 'ECONFIG', message: /at least 16/ });
  writeFileSync(tokenFile, `${'k'.repeat(20)}\n`);
  t.equal(webToken('0.0.0.0', tokenFile), 'k'.repeat(20));
  t.not(webToken('127.0.0.1', ''), webToken('127.0.0.1', ''), 'on loopback a new one each start');
  t.equal(webLink({ address: '::', port: 5 }, 't'), 'http://localhost:5/#token=t');
  t.equal(webLink({ address: '::1', port: 5 }, 'a#"%b'), 'http://[::1]:5/#token=a%23%22%25b');
});

t.test('a capture: started, looked at in pieces, taken as a file', async t => {
  const { one, read, ask } = await served(t);
  t.equal(await read('GET', '/api/capture'), null);
  t.equal((await ask('GET', '/api/capture.pcapng')).status, 404);
  t.match(await read('POST', '/api/capture', REQUEST), { id: 1, running: true });
  await until('the workers copy', () => one.pass([{ frame, peer: 1 }]) > 0);
  one.pass([{ frame, verdict: verdicts.NO_PEER }]);
  await until('both are there', async () => (await read<CaptureView>('GET', '/api/capture')).delivered >= 2);
  const { packets } = await read<CaptureView>('GET', '/api/capture?id=1&after=1');
  t.match(packets[0], {
    number: 2,
    point: 'egress-inner',
    link: 'ethernet',
    summary: /10\.244\.1\.5\.1 > 10\.244\.2\.9\.80: TCP Flags \[S\]/,
    length: frame.length,
    bytes: Buffer.from(frame).toString('base64'),
  });
  t.match(packets.at(-1)?.comments[0], /^drop: no-peer, /);
  await ask('DELETE', '/api/capture');
  await until('it ends', async () => !(await read<CaptureView>('GET', '/api/capture')).running);
  t.match(await read('GET', '/api/capture'), { ending: 'stopped', fault: null });
  t.equal(one.pass([{ frame }]), 0, 'the workers copy no more');

  const { bytes } = await ask('GET', '/api/capture.pcapng');
  const file = await readCapture(chunked(bytes), 'download');
  const kept = [];
  for await (const packet of file.packets()) kept.push(packet);
  t.match(file.interfaces, [{ name: 'egress-inner' }]);
  t.match(kept[0], { bytes: frame, comments: [/^forward; peer node-b/] });
  t.match(kept.at(-1)?.comments, [/^drop: no-peer, /]);
});

t.test('what is wrong with a request is said', async t => {
  const { read } = await served(t);
  const wrong: [Partial<CaptureRequest>, object][] = [
    [{ filter: 'host default/web-2' }, { error: /no pod "default\/web-2"/, hint: /: default\/web-1; / }],
    [{ filter: 'tcp prot 80' }, { error: /filter "tcp prot 80": .*syntax/, hint: /pcap-filter/ }],
    [{ points: ['egres-inner'] }, { error: /unknown capture point "egres-inner"/, hint: /egress-inner/ }],
    [{ peer: 'absent' }, { error: /unknown peer/ }],
    [{ device: 'flannel.2' }, { error: /no overlay flannel\.2/, hint: /flannel\.1/ }],
    [{ packets: 0 }, { error: /capture\.packets/ }],
  ];
  for (const [change, refusal] of wrong)
    t.match(await read('POST', '/api/capture', { ...REQUEST, ...change }), refusal);
  t.match(await read('POST', '/api/capture', REQUEST), { running: true }, 'and the next one starts');
  t.match(await read('POST', '/api/capture', REQUEST), { running: true }, 'one takes the place of another');
  const { read: kernel } = await served(t, {}, false);
  t.match(await kernel('POST', '/api/capture', REQUEST), { error: /the kernel carries/ });
  t.strictSame((await kernel<View>('GET', '/api/view')).captures, []);
});

t.test('query parameter that is not a whole number: refused', async t => {
  const { ask } = await served(t);
  await ask('POST', '/api/capture', { body: REQUEST });
  for (const path of ['/api/capture?id=1&after=-1', '/api/capture?id=x', '/api/view?since=1e3']) {
    const { status, bytes } = await ask('GET', path);
    t.equal(status, 400, path);
    t.match(JSON.parse(bytes.toString()), { error: /^(after|id|since) ".+" is not an integer$/ });
  }
});

t.test('the end after so many packets', async t => {
  const { one, read } = await served(t);
  await read('POST', '/api/capture', { ...REQUEST, packets: 3 });
  await until('it ends', async () => {
    one.pass([{ frame }]);
    return !(await read<CaptureView>('GET', '/api/capture')).running;
  });
  t.match(await read('GET', '/api/capture'), { ending: 'count', delivered: 3 });
});

t.test('the view: drops with what to do about them', async t => {
  const { read } = await served(t);
  const view = await read<View>('GET', '/api/view');
  t.match(view, { node: 'n1', ready: true, drops: [{ reason: 'wrong-vni', frames: 3, remedy: /VNI/ }] });
  t.ok(view.verdicts.includes('spoofed-source') && !view.verdicts.includes('forward'));
});

t.test('the view: the flows with the highest rate, from the second look on', async t => {
  const { one, read } = await served(t);
  await until('the table is on', async () => {
    await read<View>('GET', '/api/view');
    return one.pass([{ frame, peer: 1 }]) > 0;
  });
  await until(
    'the flow is there',
    async () => ((await read<View>('GET', '/api/view')).flows?.rows.length ?? 0) > 0,
  );
  t.match((await read<View>('GET', '/api/view')).flows, {
    total: 1,
    sampled: 1,
    rows: [
      {
        ...{ protocol: 'tcp', source: '10.244.1.5:1', destination: '10.244.2.9:80', peer: 'node-b' },
        ...{ sourcePod: 'default/web-1', destinationPod: null },
      },
    ],
  });
});

t.test('the history is what grew step by step, bounded, and a restart begins at zero', async t => {
  let now = 1000;
  let planes = [counters(5, 10)];
  const history = new History(
    () => planes,
    () => now,
  );
  t.teardown(() => history.stop());
  const step = (drops: number, sent: number) => {
    now += 2000;
    planes = [counters(drops, sent)];
    history.step();
  };
  step(5, 12);
  step(9, 12);
  step(2, 1);
  t.strictSame(
    history.after(0).map(({ drops, sentBytes, ms }) => [drops, sentBytes, ms]),
    [
      [{}, 200, 2000],
      [{ 'wrong-vni': 4 }, 0, 2000],
      [{ 'wrong-vni': 2 }, 100, 2000],
    ],
  );
  t.equal(history.after(5000).length, 1);
  for (let i = 0; i < 400; i++) step(2, 1);
  t.equal(history.after(0).length, 300);
});
