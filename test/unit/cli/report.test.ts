import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { pseudonymized } from '../../../src/api/report/pseudonymized.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { packBundle } from '../../../src/diagnose/report/bundle.ts';
import { readTar } from '../../../src/diagnose/report/tar.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { LEASE, NODE, PEER, ROUTE, STATUS, sampleBundle } from '../../fixtures/report/sample.ts';

const SECRET = 'S3CRET-hunter2';

const UNCAUGHT = { count: 1, at: '2026-11-24T03:00:00.000Z', message: `token ${SECRET}` };
const LOCATION = `etcd https://root:${SECRET}@store.corp.example:2379 /x`;
const extra = { token: SECRET, kubeconfig: { password: SECRET }, environment: [SECRET] };
const ANSWERS: Readonly<Record<string, unknown>> = {
  '/status': {
    ...STATUS,
    ...extra,
    uncaught: UNCAUGHT,
    failing: [{ part: 'store', reason: `Authorization: Bearer ${SECRET}` }],
    store: { ...STATUS.store, location: LOCATION, ...extra },
  },
  '/node': { ...NODE, ...extra },
  '/log': [`dial https://u:${SECRET}@h failed`, `environment ${SECRET} of alpha.example`],
  '/peers': [{ ...PEER, ...extra }],
  '/routes': [{ ...ROUTE, ...extra }],
  '/leases': [{ ...LEASE, ...extra }],
  '/pending': ['set a route to 10.244.2.0/24'],
  '/drops': { drops: [], stack: [] },
  '/audit?seconds=1': { seconds: 1, directions: [], stack: [], ...extra },
  '/doctor': {
    findings: [{ severity: 'warning', kind: 'drops', what: `psk=${SECRET}`, remedy: 'none', ...extra }],
    inOrder: ['peers'],
    ...extra,
  },
  '/recorder/pcapng?device=flannel.7': Uint8Array.of(1, 2, 3),
  '/web': { link: SECRET },
};

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'rs-report-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Runs a command in this process: each further one of Node takes a while on a busy machine. */
async function run(cwd: string, ...words: string[]) {
  const inFolder = words.map((word, at) =>
    ['--socket', '--from', '--peer-from', '-f'].includes(words[at - 1] ?? '') ? join(cwd, word) : word,
  );
  const written = { stdout: '', stderr: '' };
  const former = { stdout: process.stdout.write, stderr: process.stderr.write, code: process.exitCode };
  process.exitCode = 0;
  const program = createProgram('9.9.9');
  for (const command of program.commands) command.exitOverride();
  for (const stream of ['stdout', 'stderr'] as const)
    process[stream].write = (chunk: unknown, ...more: unknown[]) => {
      written[stream] += Buffer.from(chunk as Uint8Array).toString();
      const done = more.at(-1);
      if (typeof done === 'function') done();
      return true;
    };
  try {
    await program.parseAsync(inFolder, { from: 'user' });
    return { ...written, code: process.exitCode };
  } finally {
    process.stdout.write = former.stdout;
    process.stderr.write = former.stderr;
    process.exitCode = former.code;
  }
}

/** A folder with secrets in files, and an agent that has them in its answers. */
async function agentIn(t: Test): Promise<string> {
  const former = process.env;
  process.env = { ...former, RIPSTOP_TOKEN: SECRET, ETCD_PASSWORD: SECRET };
  t.teardown(() => {
    process.env = former;
  });
  const folder = folderFor(t);
  for (const name of ['kubeconfig', 'token', 'net-conf.json', 'agent.log'])
    writeFileSync(join(folder, name), SECRET);
  const server = createServer((request, response) => {
    const answer = ANSWERS[request.url ?? ''];
    if (answer === undefined) response.statusCode = 404;
    response.end(answer instanceof Uint8Array ? answer : JSON.stringify(answer ?? null));
  });
  await new Promise<void>(resolve => server.listen(join(folder, 's'), resolve));
  t.teardown(() => server.close());
  return folder;
}

const contentOf = (file: string) =>
  new Map(
    [...readTar(gunzipSync(readFileSync(file)))].map(([name, content]) => [
      name,
      Buffer.from(content).toString(),
    ]),
  );

t.test('a report of an agent has its answers and no secret, and the commands read it', async t => {
  const folder = await agentIn(t);
  const made = await run(
    folder,
    'report',
    '--socket',
    's',
    '--duration',
    '1',
    '-f',
    'r.tar.gz',
    '-o',
    'json',
  );
  t.equal(made.code, 0, made.stderr);
  const { files, missing } = readOutput('ripstop-report/1', made.stdout);
  t.equal(statSync(join(folder, 'r.tar.gz')).mode & 0o777, 0o600);
  for (const file of ['agent/doctor.json', 'agent/node.json', 'agent/log.json', 'agent/recorder-1.pcapng'])
    t.ok(files.includes(file), `${file}: ${JSON.stringify(missing)}`);
  const content = contentOf(join(folder, 'r.tar.gz'));
  t.ok(content.size > 10);
  for (const [name, text] of content) t.notMatch(text, /S3CRET|hunter2/, name);
  t.match(content.get('agent/status.json'), 'etcd https://store.corp.example:2379 /x');

  const before = readdirSync(folder);
  const shown = async (...words: string[]) => {
    const live = await run(folder, ...words, '--socket', 's');
    const read = await run(folder, ...words, '--from', 'r.tar.gz');
    const origin = /^from the report \S+r\.tar\.gz of 20\d\d-\S+Z \(ripstop 9\.9\.9\)\n/;
    const isText = !words.includes('json');
    t.match(isText ? read.stdout : read.stderr, origin, words.join(' '));
    t.equal(isText ? read.stdout.replace(origin, '') : read.stdout, live.stdout, words.join(' '));
    t.equal(read.code, live.code);
  };
  for (const command of ['peers', 'routes', 'leases', 'drops']) {
    await shown(command);
    await shown(command, '-o', 'json');
  }
  t.match(await run(folder, 'status', '--from', 'r.tar.gz'), { code: 0, stdout: /^ready +yes$/m });
  t.match(await run(folder, 'drops', '--audit', '--from', 'r.tar.gz', '-o', 'json'), {
    code: 0,
    stdout: /"seconds": 1/,
  });
  await t.rejects(run(folder, 'status', '--from', 'r.tar.gz', '--wait'), {
    code: 'commander.conflictingOption',
  });
  await t.rejects(run(folder, 'status', '--from', 'kubeconfig'), {
    code: 'EREPORT',
    message: /not a report/,
  });
  t.same(readdirSync(folder), before, 'reading writes nothing');
});

t.test(
  'with --pseudonyms no name and no address of the node is left, and the commands still read it',
  async t => {
    const folder = await agentIn(t);
    t.match(
      await run(folder, 'report', '--socket', 's', '--duration', '1', '-f', 'p.tar.gz', '--pseudonyms'),
      {
        code: 0,
        stdout: /with pseudonyms/,
      },
    );
    await run(folder, 'report', '--socket', 's', '--duration', '1', '-f', 'r.tar.gz');
    const originals = new Set(['alpha', 'beta', 'corp', hostname()]);
    for (const text of contentOf(join(folder, 'r.tar.gz')).values())
      for (const pattern of [
        /\d{1,3}(?:\.\d{1,3}){3}/g,
        /(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g,
        /"[0-9a-f:]+:[0-9a-f:]+"/g,
      ])
        for (const [found] of text.matchAll(pattern)) originals.add(found);
    const same = new Set([
      '0.0.0.0',
      '127.0.0.1',
      '127.0.0.0',
      '127.255.255.255',
      '224.0.0.0',
      '255.255.255.255',
    ]);
    const isSame = (text: string) =>
      same.has(text) ||
      /^"?(::1?|ff0[0-9a-f]::[0-9a-f]+|fe80::|(00|ff)(:(00|ff)){5}|01:00:5e:.*|33:33:00:.*)"?$/.test(text);
    t.ok(originals.size > 8, [...originals].join());
    for (const [name, text] of contentOf(join(folder, 'p.tar.gz')))
      for (const original of originals)
        if (!isSame(original) && text.includes(original)) t.fail(`${original} in ${name}`);
    const { stdout } = await run(folder, 'peers', '--from', 'p.tar.gz', '-o', 'json');
    const [peer] = readOutput('ripstop-peers/1', stdout).peers;
    const leases = readOutput(
      'ripstop-leases/1',
      (await run(folder, 'leases', '--from', 'p.tar.gz', '-j')).stdout,
    );
    t.equal(leases.leases[0]?.publicIp, peer?.address);
    t.equal(leases.leases[0]?.node, peer?.node);
    t.equal(leases.leases[0]?.key.replace('-', '/'), peer?.subnets[0]);
  },
);

t.test('trace and replay read a report, and refuse what does not go with it', async t => {
  const folder = folderFor(t);
  const { archive } = packBundle(sampleBundle(), { version: '1', createdAt: new Date(0), pseudonyms: false });
  writeFileSync(join(folder, 'r.tar.gz'), archive);
  const capture = fileURLToPath(
    new URL('../../../../test/fuzz/capture-seeds/micro-ethernet.pcap', import.meta.url),
  );
  const origin = 'from the report \\S+r\\.tar\\.gz of 1970-01-01T00:00:00.000Z \\(ripstop 1\\)\\n';
  const replayed = await run(folder, 'replay', capture, '--from', 'r.tar.gz', '--summary');
  t.match(replayed.stdout, new RegExp(`^${origin}\\d+ packets`));
  const packet = ['--src', '10.244.1.5', '--dst', '10.244.2.7', '--dport', '80'];
  const traced = await run(folder, 'trace', '--from', 'r.tar.gz', ...packet);
  t.match(traced.stdout, new RegExp(`^${origin}10\\.244\\.1\\.5\\.40000 > .*sent to beta in UDP`, 's'));
  t.match(traced.stdout, /--peer-from with the report of beta/);
  const both = await run(
    folder,
    'trace',
    '--from',
    'r.tar.gz',
    '--peer-from',
    'r.tar.gz',
    ...packet,
    '-o',
    'json',
  );
  t.equal(readOutput('ripstop-trace/1', both.stdout).nodes.length, 2);
  t.match(both.stderr, new RegExp(`^(${origin}){2}$`));
  await t.rejects(run(folder, 'trace', '--from', 'r.tar.gz', '--live', ...packet), {
    code: 'commander.conflictingOption',
  });
  await t.rejects(run(folder, 'replay', capture), { code: 'ECONFIG', message: /without a configuration/ });
});

t.test('a capture in a report stays as it is, and is left out with --pseudonyms', async t => {
  const bundle = sampleBundle();
  bundle.files.set('agent/recorder.pcapng', Uint8Array.of(1, 2, 3));
  const { archive } = packBundle(bundle, { version: '1', createdAt: new Date(0), pseudonyms: false });
  t.same(Buffer.from(readTar(gunzipSync(archive)).get('agent/recorder.pcapng')!), Buffer.from([1, 2, 3]));
  const { files, missing } = pseudonymized(bundle);
  t.notOk(files.has('agent/recorder.pcapng'));
  t.match(missing, [
    { what: 'agent/log.json', why: /names that --pseudonyms does not know/ },
    { what: 'agent/recorder.pcapng', why: /does not replace/ },
  ]);
});

t.test('--file - writes the archive to standard output, and nothing else', async t => {
  const folder = folderFor(t);
  const main = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
  const words = ['report', '--socket', join(folder, 's'), '--duration', '1', '-f', '-'];
  const { stdout, stderr } = spawnSync(process.execPath, [main, ...words], { maxBuffer: 1 << 26 });
  t.ok(readTar(gunzipSync(stdout)).has('manifest.json'));
  t.match(String(stderr), /ripstop report: \d+ files, \d+ bytes\nnot in it:/);
  await t.rejects(run(folder, 'report', '--file', '-', '--json'), {
    code: 'ECONFIG',
    message: /with --output/,
  });
});

t.test('without an agent a report says so for each answer', async t => {
  const folder = folderFor(t);
  const { stdout } = await run(folder, 'report', '--socket', 's', '--duration', '1', '-f', 'r.tar.gz');
  t.match(stdout, /r\.tar\.gz: \d+ files/);
  t.match(stdout, /agent\/status\.json: no agent listens on/);
  await t.rejects(run(folder, 'status', '--from', 'r.tar.gz'), {
    code: 'EREPORT',
    message: /not in the report: no agent listens/,
  });
});
