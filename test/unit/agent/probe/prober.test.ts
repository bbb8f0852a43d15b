import t, { type Test } from 'tap';
import { Prober } from '../../../../src/agent/probe/prober.ts';
import type { Family } from '../../../../src/ip/address.ts';
import { type EchoListener, findEchoSockets } from '../../../../src/net/echo-socket.ts';

const failing = (message: string, code: string) => () => {
  throw Object.assign(new Error(message), { code });
};

t.test('the package raw-socket where it loads, else the sockets of the addon', async t => {
  const there = findEchoSockets(name => ({ name }));
  t.match(there, { sockets: { name: 'raw-socket' }, fault: undefined });

  const absent = findEchoSockets(
    failing("Cannot find module 'raw-socket'\nRequire stack:\n- /x/y.js", 'MODULE_NOT_FOUND'),
  );
  t.match(absent, { sockets: { name: 'addon' }, fault: undefined }, 'its absence is not a fault');

  const notCompiled = findEchoSockets(
    failing(
      "Cannot find module './build/Release/raw.node'\nRequire stack:\n- raw-socket",
      'MODULE_NOT_FOUND',
    ),
  );
  t.match(notCompiled, {
    sockets: { name: 'addon' },
    fault: /raw-socket is installed and does not load.*raw\.node/,
  });
  const otherNode = findEchoSockets(
    failing('was compiled against a different Node.js version', 'ERR_DLOPEN_FAILED'),
  );
  t.match(otherNode.fault, /does not load with Node \d.*different Node\.js version.*npm rebuild raw-socket/);
  t.equal(new Prober(otherNode).fault, otherNode.fault);
});

/** A network without a kernel: answers echoes up to a size, after `ageMs`. */
function network(t: Test, limit: number, ageMs: number) {
  const opened: Family[] = [];
  const sent: Buffer[] = [];
  let closed = 0;
  const open = (family: Family, _id: number, listener: EchoListener) => {
    opened.push(family);
    return {
      send(_address: string, message: Buffer, failed: () => void) {
        sent.push(Buffer.from(message));
        const headers = family === 4 ? 20 : 40;
        if (headers + message.length > limit) return failed();
        const reply = Buffer.concat([Buffer.alloc(family === 4 ? 20 : 0, 0x45), message]);
        reply[family === 4 ? 20 : 0] = family === 4 ? 0 : 129;
        const others = Buffer.from(reply);
        others.writeUInt16BE(others.readUInt16BE(family === 4 ? 24 : 4) ^ 1, family === 4 ? 24 : 4);
        setImmediate(() => {
          // A request, a piece, another program's reply and nothing at all come here as well.
          for (const packet of [message, reply.subarray(0, 7), others, Buffer.alloc(0)])
            listener.onPacket(packet, 0);
          t.ok(listener.isWaiting(), 'none of these is the answer');
          listener.onPacket(reply, ageMs);
        });
      },
      close: () => closed++,
    };
  };
  const prober = new Prober({ sockets: { name: 'addon', open } });
  return { prober, opened, sent, closed: () => closed };
}

t.test('sizes, answers and the search for the path MTU', async t => {
  const { prober, opened, sent, closed } = network(t, 1400, 0);
  for (const [address, family] of [
    ['192.0.2.1', 4],
    ['2001:db8::1', 6],
  ] as const) {
    t.ok((await prober.echo(address, 1400, 60_000))! >= 0);
    t.equal(
      await prober.echo(address, 1401, 60_000),
      undefined,
      'refused by the kernel: no answer is waited for',
    );
    t.equal(sent.at(-1)!.length, 1401 - (family === 4 ? 20 : 40), 'the size is that of the whole packet');
    t.equal(await prober.probePathMtu(address, 84, 9000, 60_000), 1400);
  }
  t.same(opened, [4, 6], 'one socket for each family');
  prober.close();
  t.equal(closed(), 2);
});

t.test('what happened before the event loop came round does not count as round trip', async t => {
  const { prober } = network(t, 1500, 1e6);
  t.equal(await prober.echo('192.0.2.1', 84, 60_000), 0, 'and a clock that was set never makes it negative');
});

t.test('an odd size has a right checksum', async t => {
  const { prober, sent } = network(t, 1500, 0);
  for (const bytes of [84, 85]) await prober.echo('192.0.2.1', bytes, 60_000);
  for (const message of sent) {
    let sum = 0;
    for (let at = 0; at < message.length; at++) sum += message[at]! << (at % 2 ? 0 : 8);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    t.equal(sum, 0xffff);
  }
});

t.test('a socket that fails is replaced, and one that cannot be opened is an error', async t => {
  const listeners: EchoListener[] = [];
  const open = (_: Family, _id: number, listener: EchoListener) => {
    listeners.push(listener);
    return { send: (_to: string, _message: Buffer, failed: () => void) => failed(), close: () => {} };
  };
  const prober = new Prober({ sockets: { name: 'addon', open } });
  await prober.echo('192.0.2.1', 84, 60_000);
  listeners[0]!.onFailure();
  await prober.echo('192.0.2.1', 84, 60_000);
  t.equal(listeners.length, 2);
  t.notOk(listeners[1]!.isWaiting(), 'nothing is awaited after an echo that was not sent');
  const refused = new Prober({ sockets: { name: 'addon', open: failing('no', 'EPERM') } });
  await t.rejects(refused.echo('192.0.2.1', 84, 60_000), { code: 'EPERM' });
});

t.test('sockets of the package raw-socket receive echo replies only (H21)', async t => {
  const calls: [level: number, option: number, value: unknown][] = [];
  const packaged = {
    Protocol: { ICMP: 1, ICMPv6: 58 },
    AddressFamily: { IPv4: 1, IPv6: 2 },
    createSocket: () => ({
      setOption: (level: number, option: number, value: unknown) => calls.push([level, option, value]),
      on: () => {},
      close: () => {},
    }),
  };
  const { sockets } = findEchoSockets(() => packaged);
  const listener: EchoListener = { onPacket: () => {}, onFailure: () => {}, isWaiting: () => false };
  const passing = (family: Family): number[] => {
    calls.length = 0;
    sockets.open(family, 1, listener);
    const [, , value] = calls.find(([level]) => level === (family === 4 ? 255 : 58))!;
    const filter = value as Buffer;
    t.equal(filter.length, family === 4 ? 4 : 32);
    return [...filter].flatMap((byte, at) =>
      Array.from({ length: 8 }, (_, bit) => ((byte >> bit) & 1 ? -1 : at * 8 + bit)).filter(
        type => type >= 0,
      ),
    );
  };
  t.same(passing(4), [0]);
  t.same(passing(6), [129]);
});
