import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { Status } from '../../../src/api/answers.ts';
import { RipstopError } from '../../../src/base/errors.ts';
import { explainError } from '../../../src/cli/explain-error.ts';
import { createProgram } from '../../../src/cli/program.ts';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));

const STATUS: Status = {
  ...{ ready: false, failing: [], endpoints: [], uncaught: null, reasons: ['starting'], node: 'n1', pid: 7 },
  ...{ version: '9.9.9', startedAt: '2026-11-24T03:00:00.000Z', lease: null, underlay: null, overlays: [] },
  ...{ rules: null, settings: [], repairs: {}, failedRepairs: 0, networkStarts: 0, leases: 0, rejected: [] },
  ...{ refusedSysctls: [], waiting: null },
  store: {
    ...{ kind: 'file', location: 'x', downSince: null, borrowed: false, kept: null },
    ...{ failingWrites: [], lacking: [] },
  },
};

async function run(...words: string[]) {
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [[code], stdout, stderr] = await Promise.all([
    once(child, 'close'),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'rs-exit-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An agent that gives these answers by path. */
async function agentFor(t: Test, socket: string, answers: Readonly<Record<string, () => unknown>>) {
  const server = createServer((request, response) =>
    response.end(JSON.stringify(answers[request.url ?? '']?.())),
  );
  await new Promise<void>(resolve => server.listen(socket, resolve));
  t.teardown(() => server.close());
}

t.test('status exits with 1 while the node is not ready, and waits on request (A26, F)', async t => {
  const socket = join(folderFor(t), 's');
  t.match(await run('status', '--wait', '--wait-duration', '1', '--socket', socket), {
    code: 1,
    stderr: /no agent listens/,
  });
  // The agent is started while the command waits, and gets ready later.
  const waiting = run('status', '--wait', '--socket', socket);
  let asked = 0;
  await agentFor(t, socket, { '/status': () => ({ ...STATUS, ready: ++asked > 3 }) });
  t.match(await waiting, { code: 0, stdout: /ready +yes/ });
  asked = -1e9;
  t.match(await run('status', '--socket', socket), { code: 1, stdout: /ready +no: starting/ });
  t.match(await run('status', '--json', '--wait', '--wait-duration', '1', '--socket', socket), {
    code: 1,
    stdout: /"ready": false/,
  });
  t.match(await run('version', '--socket', socket), {
    code: 0,
    stdout: /^ripstop \S+\nnode +v\d+.*\nagent +9\.9\.9 /,
  });
  t.match(await run('version', '--socket', `${socket}-none`), { code: 0, stdout: /agent +not running/ });
});

t.test('plan exits with 3 when there is something to change (A26, F)', async t => {
  const socket = join(folderFor(t), 's');
  let steps = ['! ignored lease'];
  await agentFor(t, socket, { '/pending': () => steps });
  t.match(await run('plan', '--socket', socket), { code: 0, stdout: /nothing to change/ });
  steps = ['+ route 10.244.2.0/24'];
  t.match(await run('plan', `--socket=${socket}`), { code: 3, stdout: /^\+ route/ });
});

t.test('plan makes no directories in the file store (A26)', async t => {
  const folder = folderFor(t);
  const store = join(folder, 'net');
  mkdirSync(store);
  writeFileSync(
    join(store, 'config.json'),
    JSON.stringify({ Network: '10.244.0.0/16', Backend: { Type: 'none' } }),
  );
  t.match(await run('plan', `--store-path=${store}`, `--state-dir=${folder}/state`), {
    code: 2,
    stderr: /Backend\.Type/,
  });
  t.match(await run('plan', `--store-path=${folder}/other`), {
    code: 2,
    stderr: /config\.json does not exist/,
  });
  for (const made of ['net/subnets', 'net/nodes', 'other', 'state'])
    t.notOk(existsSync(join(folder, made)), made);
});

t.test('every command that asks an agent takes the name of an instance (A26, F)', async t => {
  const commands = createProgram('0').commands.filter(({ options }) =>
    options.some(
      ({ long, defaultValue }) => long === '--socket' && defaultValue === '/run/ripstop/agent.sock',
    ),
  );
  t.ok(commands.length >= 12, commands.map(command => command.name()).join());
  for (const command of commands)
    t.ok(
      command.options.some(({ long }) => long === '--instance'),
      command.name(),
    );
  for (const name of ['status', 'doctor', 'plan'])
    t.match(
      await run(name, '--instance', 'blue'),
      { stderr: /no agent listens on \/run\/ripstop-blue\/agent\.sock/ },
      name,
    );
  t.match(await run('status', '--instance', 'Blue!'), { code: 2, stderr: /--instance: "Blue!"/ });
  t.match(await run('status', '--instance', 'blue', '--socket', '/x'), {
    code: 2,
    stderr: /leave out one of them/,
  });
});

t.test('a refused system call is one line with a hint for a user who is not root (A26)', async t => {
  const refused = Object.assign(new Error("EACCES: permission denied, open '/opt/cni/bin/x'"), {
    ...{ code: 'EACCES', syscall: 'open' },
  });
  t.match(explainError(refused, 1000), { code: 'EACCES', hint: /as root/ });
  t.match(explainError(refused, 0), { code: 'EACCES', hint: undefined });
  t.match(explainError(new RipstopError('EPERM', 'listen'), 1000), { hint: /as root/ });
  t.match(explainError(new RipstopError('EACCES', 'no', 'use sudo'), 1000), { hint: 'use sudo' });
  const bug = new TypeError('x is not a function');
  t.equal(explainError(bug, 1000), bug, 'a bug keeps its stack');
});

t.test('names of other nodes on the screen (H17): no command prints their control characters', async t => {
  const socket = join(folderFor(t), 's');
  const evil = 'vxlan\u001b]0;x\u0007\u001b[31m\u009b2J\u202etxt';
  const finding = { severity: 'warning', kind: 'drops', what: evil, remedy: evil };
  const trace = {
    ...{ node: evil, packet: evil, outcome: 'forwarded', verdict: evil, remedy: null, departure: null },
    ...{ steps: [{ step: 'route', ok: true, certain: true, text: evil }], ingressPeer: null },
  };
  const pod = {
    ...{ address: '10.0.0.1', namespace: 'default', name: 'web-1', since: evil, until: null },
    ...{ network: evil, containerId: evil, ifname: evil, netns: evil, hostLinks: [] },
  };
  await agentFor(t, socket, {
    '/status': () => ({ ...STATUS, ready: true, reasons: [evil], node: evil }),
    '/doctor': () => ({ findings: [finding], inOrder: [evil] }),
    '/pending': () => [`! ${evil}`],
    '/trace': () => trace,
    '/pods': () => [pod],
  });
  const commands = [
    ['pods'],
    ['status'],
    ['doctor'],
    ['plan'],
    ['trace', '--src', '10.0.0.1', '--dst', '10.0.0.2'],
  ];
  await Promise.all(
    commands.map(async words => {
      const { code, stdout, stderr } = await run(...words, '--socket', socket);
      t.equal(code, 0, `${words.join(' ')} ${stderr}`);
      t.match(stdout, 'vxlan\\u001b]0;x\\u0007\\u001b[31m\\u009b2J\\u202etxt', words.join(' '));
      t.notMatch(stdout.replaceAll('\n', ''), /[\p{Cc}\u202e]/u, words.join(' '));
    }),
  );
});
