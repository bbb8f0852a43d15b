import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Systemd } from '../../../src/api/systemd.ts';
import { until } from '../../../src/lab/until.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** Prints every datagram that comes to a unix socket. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("open", flush=True)
while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;

t.test(
  'systemd is told of readiness, state and life',
  { skip: skipUnless('python3', 'systemd-notify') },
  async t => {
    const root = mkdtempSync(join(tmpdir(), 'rs-sd-'));
    const path = join(root, 'notify');
    const listener = spawn('python3', ['-c', LISTENER, path], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.teardown(() => {
      listener.kill('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    });
    let heard = '';
    listener.stdout.on('data', chunk => {
      heard += chunk;
    });
    await until('the listener', () => heard.includes('open'));
    const systemd = new Systemd({
      PATH: process.env.PATH,
      NOTIFY_SOCKET: path,
      WATCHDOG_USEC: '200000',
      WATCHDOG_PID: String(process.pid),
    });
    t.equal(systemd.watchdogMs, 100);
    systemd.ready();
    await until('READY', () => heard.includes('READY=1'));
    let isWell = true;
    systemd.watch(() => isWell);
    await until('WATCHDOG', () => heard.includes('WATCHDOG=1'));
    isWell = false;
    systemd.status('the store is unreachable');
    await until('STATUS', () => heard.includes('STATUS=the store is unreachable'));
    systemd.stopping();
    await until('STOPPING', () => heard.includes('STOPPING=1'));
  },
);

t.test('without systemd nothing happens; another process’s watchdog is not ours', async t => {
  const systemd = new Systemd({ WATCHDOG_USEC: '200000' });
  t.equal(systemd.watchdogMs, undefined);
  systemd.ready();
  systemd.stopping();
  t.equal(
    new Systemd({ NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '200000', WATCHDOG_PID: '1' }).watchdogMs,
    undefined,
  );
});

t.test('systemd-notify gets nothing of the environment but what it needs', async t => {
  const folder = t.testdir();
  const shown = join(folder, 'environment');
  writeFileSync(
    join(folder, 'systemd-notify'),
    `#!/bin/sh\n/usr/bin/env >${shown}.new && /bin/mv ${shown}.new ${shown}\n`,
    {
      mode: 0o755,
    },
  );
  process.env.RIPSTOP_ETCD_PASSWORD = 'secret';
  t.teardown(() => delete process.env.RIPSTOP_ETCD_PASSWORD);
  new Systemd({ ...process.env, PATH: folder, NOTIFY_SOCKET: '/x' }).ready();
  const environment = await until('the program', () => existsSync(shown) && readFileSync(shown, 'utf8'));
  t.match(environment, /^NOTIFY_SOCKET=\/x$/m);
  t.notMatch(environment, /secret/);
});
