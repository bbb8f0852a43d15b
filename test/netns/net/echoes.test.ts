import { createRequire } from 'node:module';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { native } from '../../../src/native/load.ts';
import { IcmpEchoSocket } from '../../../src/net/icmp-echo-socket.ts';
import type { Report, Step } from '../../fixtures/agents/prober-program.ts';
import { labFor, namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * ICMP probes over real paths, with the sockets of the package `raw-socket` and with those of the addon: the same test for
 * both.
 */

const skip = skipUnless('root', 'netns', 'ip', 'ping', 'setpriv');
const PROGRAM = `${CHECKOUT}dist/test/fixtures/agents/prober-program.js`;

function packageFault(): string | false {
  try {
    createRequire(import.meta.url)('raw-socket');
    return false;
  } catch (error) {
    return `missing here: the package raw-socket for this Node (${String(error).split('\n')[0]})`;
  }
}

async function probe(
  ns: Namespace,
  sockets: string,
  steps: readonly Step[],
  before: readonly string[] = [],
): Promise<Report> {
  const program = ns.launch([...before, process.execPath, PROGRAM, sockets, JSON.stringify(steps)]);
  return JSON.parse(await program.success());
}

for (const sockets of ['addon', 'raw-socket'] as const) {
  const unusable = sockets === 'raw-socket' && packageFault();
  t.test(`probes with sockets of ${sockets}`, { skip: skip || unusable }, async t => {
    const lab = labFor(t);
    const [one, two] = lab.nodes as [Node, Node];
    const pod = two.pods[0]!.address;
    for (const family of [4, 6] as const) {
      one.ns.ip(`route add ${two.subnet[family]} via ${two.underlay[family]}`);
      two.pods[0]!.ns.ip(`route replace ${one.underlay[family]} via ${two.gateway[family]}`);
    }

    for (const family of [4, 6] as const)
      await t.test(`IPv${family}`, async t => {
        const peer = two.underlay[family];
        lab.podMtu(1500);
        const absent = family === 4 ? '172.31.0.77' : 'fd31::77';
        const { results, ...rest } = await probe(one.ns, sockets, [
          { echo: peer, bytes: 84 },
          { echo: peer, bytes: 1500 },
          { echo: peer, bytes: 1501 },
          { echo: peer, bytes: 84, count: 64 },
          { ping: peer },
          { echo: peer, bytes: 84 },
          { echo: absent, bytes: 84 },
          { echo: peer, bytes: 85 },
        ]);
        t.strictSame(rest, { sockets, leaked: 0 });
        const [small, full, large, many, , afterFlood, silent, odd] = results as (number | null)[][];
        for (const answered of [small, full, many, afterFlood, odd])
          t.ok(
            answered!.every(ms => ms !== null && ms >= 0),
            JSON.stringify(answered),
          );
        t.equal(many!.length, 64, 'each of many at once has its own answer');
        t.same([large, silent], [[null], [null]], 'larger than the link, and to an address that no node has');

        lab.podMtu(1400);
        const searched = await probe(one.ns, sockets, [
          { pathMtu: pod[family], passes: 1399, fails: 1402 },
          { echo: pod[family], bytes: 1400 },
        ]);
        t.equal(searched.results[0], 1400, 'the path MTU behind a router');
        t.match(searched.results[1], [Number]);
        lab.podMtu(1500);
        const again = await probe(one.ns, sockets, [{ echo: pod[family], bytes: 1500 }]);
        t.match(again.results, [[Number]], 'a path MTU that the kernel has recorded does not limit a probe');
      });

    await t.test('without CAP_NET_RAW', async t => {
      const bare = ['setpriv', '--bounding-set', '-net_raw', '--inh-caps', '-net_raw'];
      for (const address of [two.underlay[4], two.underlay[6]]) {
        const { error, results, leaked } = await probe(one.ns, sockets, [{ echo: address, bytes: 84 }], bare);
        t.same([results, leaked], [[], 0]);
        t.match(error, sockets === 'addon' ? /raw ICMP.* socket: .*CAP_NET_RAW is missing/ : /not permitted/);
      }
    });
  });
}

t.test('a socket of the addon in another namespace', { skip }, async t => {
  const ns = namespaceFor(t);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (const [family, loopback] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    const socket = new IcmpEchoSocket(ns.path, family, 0);
    t.teardown(() => socket.close());
    const request = Buffer.alloc(64);
    request[0] = family === 4 ? 8 : 128;
    if (family === 4) request.writeUInt16BE(0xf7ff, 2);
    t.equal(socket.receive(), undefined);
    // The request itself comes back by the loopback device as well, and the kernel keeps it from this socket. So it does with
    // the replies to other programs (H21): they come first, as the loopback device keeps the order.
    const other = Buffer.from(request);
    other.writeUInt16BE(1, 4);
    if (family === 4) other.writeUInt16BE(0xf7fe, 2);
    for (let count = 0; count < 100; count++) socket.send(loopback, other);
    socket.send(loopback, request);
    const reply = await until('the reply', () => {
      // A reply that waits grows older, whatever the reader does meanwhile.
      Atomics.wait(pause, 0, 0, 5);
      return socket.receive();
    });
    const packet = Buffer.from(reply!.packet);
    const at = family === 4 ? (packet[0]! & 15) * 4 : 0;
    t.equal(packet[at], family === 4 ? 0 : 129, 'an echo reply');
    t.equal(packet.readUInt16BE(at + 4), 0, 'with the identifier of the socket');
    t.equal(packet.length, at + 64);
    t.equal(socket.receive(), undefined, 'and nothing else');
    t.throws(() => socket.send(family === 4 ? '192.0.2.1' : '2001:db8::1', request), { code: 'ENETUNREACH' });
  }
  t.throws(() => new IcmpEchoSocket('/proc/self/ns/pid', 4, 1), { message: /not a network namespace/ });
});

t.test('the age of a reply is the time that it waited', { skip }, async t => {
  const ns = namespaceFor(t);
  const fd = native.echoOpen(ns.path, 4, 0);
  t.teardown(() => native.closeFd(fd));
  const loopback = new Uint8Array(16);
  loopback.set([0xff, 0xff, 127, 0, 0, 1], 10);
  const request = Buffer.alloc(64);
  request[0] = 8;
  request.writeUInt16BE(0xf7ff, 2);
  const age = new Int32Array(1);
  // The kernel begins to stamp packets some time after the first socket has asked for it.
  await until('a reply with a time stamp', async () => {
    t.equal(native.rawSend(fd, loopback, request), 64);
    await until('the reply', () => native.waitReadable(fd, -1, -1, 0, 0) > 0);
    const since = performance.now();
    while (performance.now() < since + 30) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    t.equal(native.echoReceive(fd, new Uint8Array(100), age), 84);
    return age[0]! >= 30_000;
  });
  t.equal(native.echoReceive(fd, new Uint8Array(100), age), -11);
  t.equal(native.echoReceive(fd, new Uint8Array(0), age), -11);
});
