import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { decodeMessage, encodeCall, messageLength } from '../../../src/net/dbus/message.ts';
import { SystemBus } from '../../../src/net/dbus/system-bus.ts';

const method = { destination: 'a.b', path: '/c', interface: 'd.e', member: 'F' };

t.test('a call: header, fields and body are aligned as the specification says', async t => {
  const bytes = encodeCall(7, method, ['x', 'yz']);
  t.equal(
    bytes.toString('latin1'),
    [
      'l\x01\x00\x01\x0f\x00\x00\x00\x07\x00\x00\x00\x48\x00\x00\x00',
      '\x01\x01o\x00\x02\x00\x00\x00/c\x00\x00\x00\x00\x00\x00',
      '\x02\x01s\x00\x03\x00\x00\x00d.e\x00\x00\x00\x00\x00',
      '\x03\x01s\x00\x01\x00\x00\x00F\x00\x00\x00\x00\x00\x00\x00',
      '\x06\x01s\x00\x03\x00\x00\x00a.b\x00\x00\x00\x00\x00',
      '\x08\x01g\x00\x02ss\x00',
      '\x01\x00\x00\x00x\x00\x00\x00\x02\x00\x00\x00yz\x00',
    ].join(''),
  );
  t.equal(messageLength(bytes), bytes.length);
  t.equal(messageLength(bytes.subarray(0, 15)), undefined);
  t.match(decodeMessage(bytes), { type: 1, replyTo: undefined, value: 'x' });
});

t.test('answers of either byte order: text, flag, error', async t => {
  const bigEndian = Buffer.from(
    'B\x02\x01\x01\x00\x00\x00\x04\x00\x00\x00\x09\x00\x00\x00\x0f' +
      '\x05\x01u\x00\x00\x00\x00\x07\x08\x01g\x00\x01b\x00\x00\x00\x00\x00\x01',
    'latin1',
  );
  t.equal(messageLength(bigEndian), bigEndian.length);
  t.match(decodeMessage(bigEndian), { type: 2, replyTo: 7, errorName: undefined, value: true });
  t.throws(() => decodeMessage(bigEndian.subarray(0, 34)), RangeError);
});

/** A bus that answers to the greeting and then by `answer`. */
async function busFor(t: Test, answer: (client: Socket, bytes: Buffer) => void): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'rs-dbus-'));
  const server = createServer(client => {
    client.on('error', () => {});
    client.on('data', bytes => answer(client, bytes));
  });
  const path = join(directory, 'bus');
  await new Promise<void>(done => server.listen(path, done));
  t.teardown(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return `tcp:host=x;unix:guid=1,path=${path.replace('rs-', 'rs%2d')}`;
}

t.test('a bus that is missing, refuses, talks nonsense or ends: an error that names it', async t => {
  const ask = (address: string) => SystemBus.with(address, bus => bus.hasOwner('a.b'));
  await t.rejects(ask('unix:path=/no/such/bus'), { code: 'ENOENT', message: /^D-Bus at unix:path=\/no/ });
  await t.rejects(ask('unix:abstract=no-such-bus'), { code: 'ECONNREFUSED' });
  await t.rejects(ask('tcp:host=127.0.0.1'), { code: 'ENOENT', message: /not the address of a Unix socket/ });
  const answers: [string, RegExp][] = [
    ['REJECTED EXTERNAL\r\n', /not a message of D-Bus/],
    ['OK 1\r\nHTTP/1.1 400 Bad Request', /not a message of D-Bus/],
    [`OK 1\r\nl\x02\x00\x01${'\x00'.repeat(12)}`, /the connection was closed/],
  ];
  for (const [text, message] of answers) {
    const address = await busFor(t, client => client.end(text, 'latin1'));
    await t.rejects(ask(address), { code: 'EAGAIN', message });
  }
});
