import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { getJson } from '../../../src/api/client.ts';

/** A server in place of an agent; the path of its socket. */
async function serve(t: Test, handler: RequestListener): Promise<string> {
  // The path of a socket ends at 108 bytes: not below a fixture.
  const folder = mkdtempSync(join(tmpdir(), 'rs-api-'));
  const socket = join(folder, 'agent.sock');
  const server = createServer(handler);
  server.listen(socket);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return socket;
}

t.test('an agent that ends in the middle of its answer is an error', async t => {
  const socket = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"half":', () => response.destroy());
  });
  await t.rejects(getJson(socket, '/status'), { code: 'EAGENT', message: /agent\.sock: aborted/ });
});

t.test('an answer of another form is an error that names path and type', async t => {
  const route = { destination: '10.244.2.0/24', via: null, device: 'flannel.1' };
  const answers: [string, RegExp | undefined][] = [
    [JSON.stringify([route]), undefined],
    [JSON.stringify([{ ...route, further: 1 }]), undefined],
    [JSON.stringify([{ ...route, via: 5 }]), /: \/routes\[0\]\.via: 5 is not a text$/],
    [JSON.stringify([route, { via: null }]), /: \/routes\[1\]\.destination: is missing$/],
    [JSON.stringify(route), /: \/routes: must be a list$/],
    ['hello', /: \/routes is not JSON: /],
  ];
  const socket = await serve(t, (_, response) => response.end(answers[0]![0]));
  for (; answers.length > 0; answers.shift()) {
    const [text, message] = answers[0]!;
    if (message) await t.rejects(getJson(socket, '/routes'), { code: 'EAGENT', message }, text);
    else t.same(await getJson(socket, '/routes'), [route], text);
  }
});

t.test('an error of the agent is thrown as it is', async t => {
  const socket = await serve(t, (_, response) => {
    response.writeHead(400).end(JSON.stringify({ code: 'ECAPTURE', error: 'no', hint: 'yes' }));
  });
  await t.rejects(getJson(socket, '/flows'), { code: 'ECAPTURE', message: 'no', hint: 'yes' });
});
