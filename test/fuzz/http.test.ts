import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createListener } from '../../src/api/listener.ts';
import { handleRequest } from '../../src/api/routes.ts';
import { WebServer } from '../../src/api/web/server.ts';
import { containedErrors } from '../../src/base/boundary.ts';
import { createLog } from '../../src/base/log.ts';
import { FlowMonitor } from '../../src/capture/flows/flow-monitor.ts';
import { CaptureHub } from '../../src/capture/live/capture-hub.ts';
import { PodNames } from '../../src/capture/live/pods.ts';
import { worker } from '../unit/capture/fixtures/tapped.ts';
import { bytesOf, campaign } from './campaign/campaign.ts';
import { alterText } from './campaign/mutate-text.ts';

/*
 * The HTTP listeners, as any pod and any user of the machine may speak to them: a request has an answer below 500 or a closed
 * connection, and the next good one is answered.
 */

const folder = mkdtempSync(join(tmpdir(), 'rs-fuzz-http-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const one = worker('egress');
const hub = new CaptureHub(one.source);
const flows = new FlowMonitor(one.source, 'flannel.1');
const debug = () => ({
  captures: [{ device: 'flannel.1', families: [4], hub }],
  flows: [flows],
  pods: { version: 0, all: [], names: new PodNames() },
  node: undefined,
});

/** Longer than any answer here takes; a server that does not answer has failed. */
const ANSWER_MS = 120_000;

/** Sends the bytes and reads the answers to the end. */
function speak(place: { port: number } | { path: string }, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const client = connect(place, () => client.end(bytes));
    const timer = setTimeout(() => {
      client.destroy();
      reject(new Error('no answer, and the connection stays open'));
    }, ANSWER_MS);
    client.on('data', chunk => {
      chunks.push(chunk);
      // A capture or a log that began is an answer; it would not end by itself.
      if (/transfer-encoding: chunked[\s\S]*?\r\n\r\n/i.test(chunk.toString('latin1'))) client.destroy();
    });
    client.on('error', () => {});
    client.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString('latin1'));
    });
  });
}

const request = (head: string, body = '', more = '') =>
  bytesOf(
    `${head} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${TOKEN}\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
const TOKEN = '0123456789abcdef';

async function fuzz(t: Test, name: string, place: { port: number } | { path: string }, seeds: Uint8Array[]) {
  const parts = new Map(containedErrors());
  await campaign(t, {
    name,
    seeds,
    alter: alterText,
    pace: 200,
    async parse(bytes) {
      const said = await speak(place, bytes);
      if (/^HTTP\/1\.[01] 5/m.test(said)) throw new Error(said.slice(0, 300));
      for (const [part, count] of containedErrors())
        if ((parts.get(part) ?? 0) < count) {
          parts.set(part, count);
          // The client has gone; that is the one error which is no fault of a handler.
          if (said !== '') throw new Error(`an error of ${part} was contained`);
        }
      return said.startsWith('HTTP/1.1 2');
    },
  });
  const [good] = seeds;
  t.match(await speak(place, good!), /^HTTP\/1\.1 200 /, 'a good request is answered in the end');
}

t.test('the web UI', async t => {
  const web = await WebServer.serve(
    {
      identity: () => ({ node: 'n1', version: '1', ready: true, reasons: [], overlays: [] }),
      peers: () => [],
      counters: () => [],
      debug,
      recordings: { list: async () => [], find: async () => undefined },
    },
    { address: '127.0.0.1', port: 0, token: TOKEN, hosts: [] },
  );
  t.teardown(() => web.close());
  const capture = JSON.stringify({
    ...{ device: '', points: [], verdicts: [], peer: '', filter: '', snapLength: 0, packets: 9 },
  });
  await fuzz(t, 'http-web', { port: Number(new URL(web.link).port) }, [
    request('GET /api/view?since=7'),
    request('GET /'),
    request('GET /api/capture?id=1&after=2'),
    request('POST /api/capture', capture),
    request('DELETE /api/capture'),
    request('GET /api/capture.pcapng'),
    request('GET /api/recording?name=x'),
    request('GET http://127.0.0.1/api/view', '', 'Expect: 100-continue\r\n'),
  ]);
});

t.test("the agent's socket", async t => {
  const log = createLog('silent');
  const handlers = { '/status': () => ({ ready: true }), '/flows': () => ({}) } as never;
  const server: Server = createListener('socket', (incoming, response) =>
    handleRequest(incoming, response, handlers, debug, log),
  );
  const path = join(folder, 'agent.sock');
  await new Promise<void>(resolve => server.listen(path, resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const packet = { source: '10.244.2.2', destination: '10.244.1.2', protocol: 'udp', size: 84 };
  await fuzz(t, 'http-socket', { path }, [
    request('GET /status'),
    request('GET /flows?sort=bytes'),
    request('POST /trace', JSON.stringify({ ...packet, sourcePort: 1, destinationPort: 2 })),
    request('POST /log-level', '{"levels":"silent"}'),
    request('POST /capture', '{"snapLength":0,"points":["egress-inner"]}'),
    request('GET /flows/log'),
    request('POST /recorder', '{"headers":true,"device":"flannel.1"}'),
    request('GET /recorder/pcapng?device=flannel.1'),
  ]);
});

t.test('a listener of probes', async t => {
  const server = createListener('health', (_, response) => response.writeHead(200).end('ok\n'));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  await fuzz(t, 'http-health', { port: (server.address() as AddressInfo).port }, [
    request('GET /healthz'),
    request('HEAD /metrics'),
    bytesOf('GET /readyz HTTP/1.0\r\n\r\n'),
  ]);
});
