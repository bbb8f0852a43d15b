import { existsSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import t from 'tap';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { until } from '../../../src/lab/until.ts';
import { stays } from '../../fixtures/agents/stays.ts';
import { encodeRequest, parseResponse } from '../../fixtures/cni/protocol.ts';
import { scratch, testHost } from './fixtures/harness.ts';

const STATUS = encodeRequest({
  plugin: 'static',
  stdin: JSON.stringify({ cniVersion: '1.1.0', name: 'net' }),
  env: { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' },
});

/** Exit status of a STATUS. */
function ask(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const client = connect(path, () => client.write(STATUS));
    client.on('data', chunk => chunks.push(chunk)).on('error', reject);
    client.on('end', () => resolve(parseResponse(Buffer.concat(chunks)).status));
  });
}

t.test('a socket whose file is deleted is opened again, one that is replaced is left alone', async t => {
  const folder = scratch(t);
  const path = `${folder}/run/cni.sock`;
  const log: string[] = [];
  const server = await serveCni(path, testHost(log), `${folder}/calls`, 20);
  t.teardown(() => server.close());
  t.equal(await ask(path), 0);
  const before = connect(path);
  await new Promise(done => before.once('connect', done));
  for (const deleted of [path, `${folder}/run`]) {
    rmSync(deleted, { recursive: true });
    t.equal((await until('the socket', async () => [await ask(path)]))[0], 0);
    t.equal(statSync(path).mode & 0o777, 0o600);
  }
  t.match(log, [`${path} was deleted; opened it again`, `${path} was deleted; opened it again`]);
  before.write(STATUS);
  const answer = await new Promise<Buffer>(done => before.once('data', done));
  t.equal(answer[0], 0, 'a connection of before is served');

  // A file of another agent.
  writeFileSync(`${folder}/other`, '');
  renameSync(`${folder}/other`, path);
  await server.close();
  t.ok(statSync(path).isFile());
});

t.test('close removes the socket, and nothing opens it again', async t => {
  const folder = scratch(t);
  const path = `${folder}/cni.sock`;
  const server = await serveCni(path, testHost(), `${folder}/calls`, 1);
  rmSync(path);
  await until('the socket', () => existsSync(path));
  await server.close();
  await stays(t, 'the socket is not opened again', () => existsSync(path), false, 50);
});

t.test('a large request in many parts is joined once', async t => {
  const folder = scratch(t);
  const path = `${folder}/cni.sock`;
  const server = await serveCni(path, testHost(), `${folder}/calls`);
  t.teardown(() => server.close());
  const size = 4 << 20;
  const stdin = JSON.stringify({ cniVersion: '1.1.0', name: 'net', padding: 'x'.repeat(size) });
  const env = { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' };
  const request = encodeRequest({ plugin: 'static', stdin, env });
  const { concat } = Buffer;
  let copied = 0;
  Buffer.concat = (...given) => {
    const joined = concat(...given);
    copied += joined.length;
    return joined;
  };
  t.teardown(() => {
    Buffer.concat = concat;
  });
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const client = connect(path, () => {
      for (let at = 0; at < request.length; at += 65_536) client.write(request.subarray(at, at + 65_536));
    });
    client.once('data', resolve).on('error', reject);
    client.on('close', () => reject(new Error('no answer')));
  });
  t.equal(answer[0], 0);
  t.ok(copied < 2 * size, `${copied} bytes were copied`);
});
