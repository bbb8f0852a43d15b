import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readDirectory } from '../../src/cni/ipam/host-local/config.ts';
import { RecordedCalls } from '../../src/cni/shim/completion.ts';
import {
  type CniRequest,
  type CniResponse,
  parseRequest,
  requestLength,
} from '../../src/cni/shim/protocol.ts';
import { handleRequest, serveCni } from '../../src/cni/shim/serve.ts';
import { CWD, cwdOf } from '../../src/cni/skel/environment.ts';
import { parseInput } from '../../src/cni/skel/execute.ts';
import type { Call } from '../../src/cni/skel/plugin.ts';
import { encodeRequest, parseResponse } from '../fixtures/cni/protocol.ts';
import { fuzzSeconds, type Random, seeded } from '../fixtures/random.ts';
import { testHost } from '../unit/cni/fixtures/harness.ts';
import { SEED } from './campaign/campaign.ts';
import { mutate } from './campaign/mutate.ts';

/*
 * The socket of the CNI executables, and the records of their calls, on broken input. Every request has an answer or a
 * closed connection, and the next good one is answered.
 */

const SECONDS = fuzzSeconds(4);

/** Not a Buffer, whose slices share its memory. */
const frame = (request: CniRequest) => Uint8Array.from(encodeRequest(request));

/** @returns the answer, or undefined when the connection was closed without one */
function ask(socket: string, parts: readonly Uint8Array[]): Promise<CniResponse | undefined> {
  return new Promise(done => {
    const chunks: Buffer[] = [];
    const client = connect(socket, () => {
      for (const part of parts) client.write(part);
      client.end();
    });
    client.on('data', chunk => chunks.push(chunk));
    client.on('error', () => {});
    client.on('close', () => done(chunks.length > 0 ? parseResponse(Buffer.concat(chunks)) : undefined));
  });
}

/** False for a request that host-local would work on outside of `folder`: what it does there outlasts the test. */
function staysIn(folder: string, bytes: Uint8Array): boolean {
  try {
    const length = requestLength(Buffer.from(bytes));
    const { stdin, env } = parseRequest(Buffer.from(bytes.subarray(0, length)));
    const { config, fault } = parseInput(stdin);
    const directory = readDirectory({ config, name: 'net', cwd: cwdOf(env) } as Call);
    return fault !== undefined || directory.startsWith(`${folder}/`);
  } catch {
    return true;
  }
}

t.test('only requests that stay in the folder of the test are sent', async t => {
  const request = (ipam: object) =>
    frame({ plugin: 'host-local', stdin: JSON.stringify({ ipam }), env: { [CWD]: '/tmp/one' } });
  t.ok(staysIn('/tmp/one', request({ dataDir: '/tmp/one' })));
  t.ok(staysIn('/tmp/one', request({ datadir: 'sub' })));
  t.ok(staysIn('/tmp/one', request({ dataDir: 7 })), 'refused before anything is written');
  for (const ipam of [
    { dataDir: '/tmp/2ne' },
    { dataDir: '/tmp/one2' },
    { dataDir: '..' },
    { dbtaDir: 'sub' },
  ])
    t.notOk(staysIn('/tmp/one', request(ipam)), JSON.stringify(ipam));
});

function cut(random: Random, bytes: Uint8Array): Uint8Array[] {
  const at = random.between(0, bytes.length);
  return random.chance(0.5) ? [bytes] : [bytes.subarray(0, at), bytes.subarray(at)];
}

t.test('broken requests: every other request has its answer', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rs-cni-fuzz-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const random = seeded(t, SEED);
  const socket = `${folder}/cni.sock`;
  const server = await serveCni(socket, testHost(), `${folder}/calls`);
  t.teardown(() => server.close());
  const env = {
    CNI_COMMAND: 'STATUS',
    CNI_CONTAINERID: 'c1',
    CNI_IFNAME: 'eth0',
    CNI_PATH: folder,
    [CWD]: folder,
  };
  const stdin = JSON.stringify({
    cniVersion: '1.1.0',
    name: 'net',
    ipam: {
      type: 'host-local',
      dataDir: folder,
      ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/64' }]],
    },
  });
  const good = frame({ plugin: 'host-local', stdin, env });
  const seeds = [
    good,
    // Address management alone: what a mutated configuration of the others does is done to this machine.
    ...['DEL', 'CHECK', 'GC', 'VERSION', ''].map(command =>
      frame({ plugin: 'host-local', stdin, env: { ...env, CNI_COMMAND: command } }),
    ),
    frame({ plugin: 'static', stdin: '['.repeat(20_000), env }),
    frame({
      plugin: '__proto__',
      stdin: '{"__proto__":{"name":1}}',
      env: { ...env, __proto__x: '1' },
    }),
  ];
  const until = performance.now() + SECONDS * 1000;
  let rounds = 0;
  let answered = 0;
  while (performance.now() < until) {
    const asked = Array.from({ length: 20 }, () => {
      const seed = random.pick(seeds);
      const mutated = random.chance(0.2) ? seed : mutate(random, seed);
      return ask(socket, cut(random, staysIn(folder, mutated) ? mutated : seed));
    });
    for (const response of await Promise.all(asked)) {
      rounds++;
      if (!response) continue;
      answered++;
      if (response.status !== 0 && response.stdout !== '') JSON.parse(response.stdout);
    }
    t.match(await ask(socket, [good]), { status: 0, stdout: '' });
  }
  t.ok(answered > 0 && answered < rounds, `${rounds} requests, ${answered} answers`);
});

t.test('an exception outside of the plugins is an answer as well', async t => {
  const host = testHost();
  const stdin = '{"cniVersion":"1.0.0","name":"net"}';
  const env = { CNI_COMMAND: 'STATUS', CNI_PATH: '/', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://[' };
  for (const broken of [
    {
      ...host,
      get spans(): never {
        throw new Error('no spans');
      },
    },
    { ...host, namespaces: undefined as never },
    host,
  ]) {
    const response = await handleRequest({ plugin: 'host-local', stdin, env }, broken);
    t.type(JSON.parse(response.stdout || '{}'), 'object');
  }
});

t.test('a large request in small parts is joined once', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rs-cni-large-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socket = `${folder}/cni.sock`;
  const server = await serveCni(socket, testHost(), `${folder}/calls`);
  t.teardown(() => server.close());
  const stdin = JSON.stringify({ cniVersion: '1.1.0', name: 'net', filler: 'x'.repeat(15 << 20) });
  const env = { CNI_COMMAND: 'STATUS', CNI_PATH: folder };
  const bytes = encodeRequest({ plugin: 'static', stdin, env });
  const parts = Array.from({ length: Math.ceil(bytes.length / 4096) }, (_, i) =>
    bytes.subarray(i * 4096, (i + 1) * 4096),
  );
  t.match(await ask(socket, parts), { stdout: /^\{|^$/ });
});

t.test('broken records are set aside or completed', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rs-calls-fuzz-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const random = seeded(t, SEED);
  const env = {
    CNI_COMMAND: 'DEL',
    CNI_CONTAINERID: 'c1',
    CNI_IFNAME: 'eth0',
    RIPSTOP_TIME: '1',
    RIPSTOP_BOOT: 'x',
  };
  const good = frame({ plugin: 'static', stdin: '{"name":"net"}', env });
  const count = 300;
  for (let i = 0; i < count; i++) writeFileSync(`${folder}/DEL-${i}.call`, mutate(random, good));
  const double = async () => ({ status: 0, stdout: '', stderr: '' });
  const report = await new RecordedCalls(folder, testHost(), double).complete();
  t.equal(report.completed.length + report.refused.length, count);
  t.strictSame(report.failed, []);
});
