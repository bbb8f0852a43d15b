import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { until } from '../../../src/lab/until.ts';
import { SinkClient } from '../../../src/measure/control/client.ts';
import { Lines } from '../../../src/measure/control/lines.ts';
import { Sink } from '../../../src/measure/sink/sink.ts';

/* The control connection of a sink, over loopback. */

async function sinkFor(t: Test) {
  const errors: string[] = [];
  const sink = await Sink.open({
    sources: [{ kind: 'udp', address: '127.0.0.1' }],
    ...{ behind: ['10.8.0.2'], port: 0 },
    onStream: () => {},
    onError: (_, message) => errors.push(message),
  });
  t.teardown(() => sink.close());
  return { sink, errors, to: { address: '127.0.0.1', port: sink.port, family: 4 } as const };
}

async function client(t: Test, to: Parameters<typeof SinkClient.connect>[0]) {
  const made = await SinkClient.connect(to, undefined);
  t.teardown(() => made.close());
  return made;
}

/** What the sink answers to a line, and then closes the connection. */
function answerTo(port: number, line: string): Promise<string> {
  return new Promise((done, fail) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(line));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', fail).on('close', () => done(text));
  });
}

t.test('streams have numbers and nonces of their own, and end with their connection', async t => {
  const { to } = await sinkFor(t);
  const clients = await Promise.all(Array.from({ length: 16 }, () => client(t, to)));
  const invitations = await Promise.all(clients.map(one => one.invite(1)));
  t.same(
    invitations.map(({ stream }) => stream).sort((a, b) => a - b),
    [...Array(16).keys()],
  );
  t.ok(new Set(invitations.map(({ nonce }) => nonce)).size > 14);
  const late = await client(t, to);
  await t.rejects(late.invite(1), { code: 'EREFUSED', message: /16 streams already/ });
  t.equal((await clients[0]!.end()).packets, 0);
  t.equal(
    (await (await client(t, to)).invite(256)).stream,
    invitations[0]!.stream,
    'its number is free again',
  );
});

t.test('a sink receives for the addresses behind its device only', async t => {
  const { to } = await sinkFor(t);
  t.equal((await (await client(t, to)).invite(1, '10.8.0.2')).kind, 'invitation');
  await t.rejects((await client(t, to)).invite(1, '10.8.0.3'), {
    message: /does not receive for 10\.8\.0\.3/,
  });
});

t.test('what is not a request is refused in words, and the sink goes on', async t => {
  const { sink, errors, to } = await sinkFor(t);
  for (const [line, why] of [
    ['hello\n', /is not JSON/],
    ['{"kind":"burn"}\n', /request\.kind/],
    [
      '{"kind":"figures","version":1,"family":"4","flows":1,"offsetNs":0,"destination":""}\n',
      /there is no stream/,
    ],
    [
      '{"kind":"invite","version":9,"family":"4","flows":1,"offsetNs":0,"destination":""}\n',
      /version 1 .* the request 9/,
    ],
    [
      '{"kind":"invite","version":1,"family":"6","flows":1,"offsetNs":0,"destination":""}\n',
      /does not receive IPv6/,
    ],
    ['{"kind":"invite","version":1,"family":"4","flows":999,"offsetNs":0,"destination":""}\n', /flows/],
  ] as const)
    t.match(await answerTo(sink.port, line), why);
  t.equal(errors.length, 6);
  await answerTo(sink.port, 'x'.repeat(3 << 20)).catch(() => '');
  t.equal((await (await client(t, to)).invite(1)).kind, 'invitation');
});

t.test('a transfer is counted to its last byte', async t => {
  const { to } = await sinkFor(t);
  const { socket, discarded } = await (await client(t, to)).discard();
  for (let i = 0; i < 100; i++) socket.write(Buffer.alloc(99_999, 0xff));
  socket.end();
  t.equal((await discarded()).bytes, 9_999_900);
});

t.test('clients beyond the bound are refused, and there is room again when one goes', async t => {
  const { to } = await sinkFor(t);
  const clients = await Promise.all(Array.from({ length: 64 }, () => client(t, to)));
  t.match(await answerTo(to.port, '{}\n'), /64 clients already/);
  clients[0]!.close();
  await until('room for another', async () => !/64 clients/.test(await answerTo(to.port, '{}\n')));
});

/** Both ends of a connection over loopback, one of them as lines. */
async function linesFor(t: Test): Promise<{ lines: Lines; other: Socket }> {
  const server = createServer();
  t.teardown(() => server.close());
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const accepted = new Promise<Socket>(done => server.once('connection', done));
  const other = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const lines = new Lines(await accepted);
  t.teardown(() => other.destroy());
  t.teardown(() => lines.socket.destroy());
  return { lines, other };
}

t.test('lines that are not read stay in the connection, and come in order afterwards', async t => {
  const { lines, other } = await linesFor(t);
  const text = 'x'.repeat(1000);
  const total = 50_000;
  for (let i = 0; i < total; i++) other.write(`${i} ${text}\n`);
  await until('the pause', () => lines.socket.isPaused());
  t.ok(lines.socket.bytesRead < 1 << 20, `${lines.socket.bytesRead} bytes taken`);
  let next = 0;
  while (next < total && Number.parseInt((await lines.next())!, 10) === next) next++;
  t.equal(next, total);
});

t.test('a reader that stalls is waited for, until it reads or goes', async t => {
  for (const end of ['reads', 'goes']) {
    const { lines, other } = await linesFor(t);
    other.pause();
    const value = { text: 'x'.repeat(1 << 20) };
    while (!lines.socket.writableNeedDrain) lines.send(value);
    let isDrained = false;
    const drained = lines.drained().then(() => {
      isDrained = true;
    });
    await new Promise(done => setImmediate(done));
    t.notOk(isDrained, 'it waits');
    if (end === 'reads') other.resume();
    else lines.socket.destroy();
    await drained;
    t.ok(isDrained, end);
  }
});
