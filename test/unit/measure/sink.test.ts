import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { SinkClient } from '../../../src/measure/control/client.ts';
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
