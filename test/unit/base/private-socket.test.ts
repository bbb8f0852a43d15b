import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openPrivately } from '../../../src/base/private-socket.ts';
import { until } from '../../../src/lab/until.ts';
import { stays } from '../../fixtures/agents/stays.ts';

const LOOK_MS = 10;

/** A server on a socket in a new directory; the one of the test has too long a path for a socket. */
async function opened(t: Test, group?: number) {
  const folder = mkdtempSync(join(tmpdir(), 'rs-sock-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'run', 's');
  const log: string[] = [];
  const create = () => createServer((_incoming, response) => void response.end());
  const socket = await openPrivately({
    path,
    part: 'test',
    create,
    group,
    log: line => log.push(line),
    lookMs: LOOK_MS,
  });
  t.teardown(() => socket.close());
  return { path, log, socket };
}

const statusAt = (path: string) =>
  new Promise<number | undefined>((resolve, reject) => {
    const asked = get({ socketPath: path, path: '/', agent: false }, answer =>
      resolve(answer.resume().statusCode),
    );
    asked.on('error', reject);
  });

t.test(
  'the socket of a file that is deleted, or whose directory is: opened again until it is closed',
  async t => {
    const { path, log, socket } = await opened(t);
    for (const [index, deleted] of [path, join(path, '..')].entries()) {
      rmSync(deleted, { recursive: true });
      await until('the socket', () => log.length === index + 1);
      t.equal(await statusAt(path), 200);
      t.equal(statSync(path).mode & 0o777, 0o600);
    }
    await socket.close();
    t.equal(existsSync(path), false);
    await stays(t, 'the socket is not opened again', () => existsSync(path), false, 50);
  },
);

t.test('a group may use the socket', async t => {
  const { path, log } = await opened(t, process.getgid?.());
  t.equal(statSync(path).mode & 0o777, 0o660);
  rmSync(path);
  await until('the socket', () => log.length === 1);
  t.equal(statSync(path).mode & 0o777, 0o660, 'also after it was opened again');
  t.equal(statSync(path).gid, process.getgid?.());
});

t.test('a file of another process at the path: left alone, also by close', async t => {
  const { path, log, socket } = await opened(t);
  rmSync(path);
  writeFileSync(path, 'foreign');
  await stays(t, 'the file is left alone', () => readFileSync(path, 'utf8'), 'foreign', 50);
  await socket.close();
  t.equal(readFileSync(path, 'utf8'), 'foreign');
  t.same(log, []);
});

t.test('closed while the socket is opened again: it does not stay open', async t => {
  const { path, socket } = await opened(t);
  for (let turn = 0; turn < 20 && existsSync(path); turn++) {
    rmSync(path);
    await new Promise(resolve => setTimeout(resolve, turn));
  }
  await socket.close();
  await stays(t, 'no socket', () => existsSync(path), false, 50);
});
