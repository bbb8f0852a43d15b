import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { getJson } from '../../../src/api/client.ts';

t.test('an agent that dies in the middle of its answer is told', async t => {
  // The path of a socket ends at 108 bytes: not below a fixture.
  const folder = mkdtempSync(join(tmpdir(), 'rs-api-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'agent.sock');
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"half":', () => response.destroy());
  });
  server.listen(socket);
  await once(server, 'listening');
  t.teardown(() => server.close());
  await t.rejects(getJson(socket, '/status'), { code: 'EAGENT', message: /agent\.sock: aborted/ });
});
