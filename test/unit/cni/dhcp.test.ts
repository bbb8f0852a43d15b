import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { pseudo4, verify } from '../../../encap/wire/checksum.ts';
import { check as checkIpv4, isChecksumGood } from '../../../encap/wire/ipv4.ts';
import { readConfig } from '../../../src/cni/ipam/dhcp/config.ts';
import { DhcpDaemon } from '../../../src/cni/ipam/dhcp/daemon.ts';
import { durationMs, parseFlags } from '../../../src/cni/ipam/dhcp/daemon-process.ts';
import { dhcp } from '../../../src/cni/ipam/dhcp/dhcp.ts';
import {
  acquire,
  clientIdOf,
  type DhcpTransport,
  extend,
  type SearchLimits,
} from '../../../src/cni/ipam/dhcp/exchange.ts';
import { LeaseFiles, type StoredLease } from '../../../src/cni/ipam/dhcp/lease-files.ts';
import {
  ACK,
  type DhcpMessage,
  DISCOVER,
  decodeMessage,
  encodeMessage,
  NAK,
  OFFER,
  OPTION,
  REQUEST,
} from '../../../src/cni/ipam/dhcp/message.ts';
import {
  classlessRoutes,
  leaseResult,
  leaseTimes,
  searchDomains,
} from '../../../src/cni/ipam/dhcp/reply-options.ts';
import type { Call } from '../../../src/cni/skel/plugin.ts';
import { launch } from '../../../src/lab/proc.ts';
import { until } from '../../../src/lab/until.ts';
import { seeded } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { attachment, invoke, scratch } from './fixtures/harness.ts';

const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const u32 = (value: number) =>
  Uint8Array.of(value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255);

/** What a server sends: the client's packet with operation, ports and addresses turned round. */
function fromServer(message: DhcpMessage): Uint8Array {
  const packet = encodeMessage(message, '10.5.0.1', '255.255.255.255');
  packet.set([0, 67, 0, 68], 20);
  packet[28] = 2;
  return packet;
}

function answerTo(
  request: DhcpMessage,
  type: number,
  options: [number, Uint8Array][],
  yourIp = '10.5.0.9',
): Uint8Array {
  return fromServer({ ...request, type, yourIp, options: new Map(options) });
}

t.test('a message there and back, its checksums right', t => {
  const message: DhcpMessage = {
    type: DISCOVER,
    xid: 0xdeadbeef,
    seconds: 3,
    broadcast: true,
    clientIp: '0.0.0.0',
    yourIp: '0.0.0.0',
    mac,
    options: new Map([
      [OPTION.CLIENT_ID, Buffer.from('\0id')],
      [OPTION.VENDOR_CLASS, new Uint8Array(600).fill(7)],
    ]),
  };
  const packet = encodeMessage(message, '0.0.0.0', '255.255.255.255');
  const view = new DataView(packet.buffer);
  t.equal(checkIpv4(view, 0, packet.length), 20);
  t.ok(isChecksumGood(view, 0));
  const length = packet.length - 20;
  t.ok(verify(view, 20, length, pseudo4(view, 0, 17, length)));
  t.equal(decodeMessage(packet), undefined, 'a client does not hear other clients');
  const { options, ...rest } = decodeMessage(fromServer(message))!;
  t.match(rest, { type: DISCOVER, xid: 0xdeadbeef, seconds: 3, broadcast: true });
  t.strictSame([...rest.mac], [...mac]);
  t.equal(options.get(OPTION.VENDOR_CLASS)?.length, 600, 'a long value is joined from its parts (RFC 3396)');
  t.end();
});

t.test('corrupt and truncated packets: ignored, without an error', t => {
  const random = seeded(t, 11);
  const good = fromServer({
    type: OFFER,
    xid: 1,
    seconds: 0,
    broadcast: false,
    clientIp: '0.0.0.0',
    yourIp: '10.0.0.1',
    mac,
    options: new Map([[OPTION.CLASSLESS_ROUTES, Uint8Array.of(24, 10, 1, 2, 10, 0, 0, 1)]]),
  });
  for (let i = 0; i < 5000; i++) {
    const bent = good.slice(0, random.chance(0.3) ? random.between(0, good.length) : good.length);
    for (let n = random.between(0, 4); n > 0 && bent.length > 0; n--)
      bent[random.between(0, bent.length - 1)] = random.between(0, 255);
    const message = decodeMessage(bent);
    if (!message) continue;
    leaseResult(message.yourIp, message.options, 0);
    leaseTimes(message.options);
  }
  t.end();
});

t.test('what the options of a lease mean', t => {
  const router = Uint8Array.of(10, 5, 0, 1);
  const mask = Uint8Array.of(255, 255, 255, 0);
  t.strictSame(
    leaseResult(
      '10.5.0.9',
      new Map([
        [1, mask],
        [3, router],
      ]),
      0,
    ),
    {
      interfaces: [],
      ips: [{ address: '10.5.0.9/24', gateway: '10.5.0.1' }],
      routes: [{ dst: '0.0.0.0/0', gw: '10.5.0.1' }],
      dns: {},
    },
  );
  const classless = Uint8Array.of(24, 10, 1, 2, 10, 5, 0, 7, 0, 10, 5, 0, 8, 8, 11, 0, 0, 0, 0);
  const routes = [
    { dst: '10.1.2.0/24', gw: '10.5.0.7' },
    { dst: '0.0.0.0/0', gw: '10.5.0.8' },
    { dst: '11.0.0.0/8', scope: 253 },
  ];
  t.strictSame(classlessRoutes(classless), routes);
  t.strictSame(classlessRoutes(Uint8Array.of(33, 1, 2, 3)), [], 'impossible length');
  t.strictSame(classlessRoutes(classless.subarray(0, 6)), [], 'cut');
  const all = new Map([
    [3, router],
    [121, classless],
    [33, Uint8Array.of(192, 168, 1, 0, 10, 5, 0, 2)],
  ]);
  t.strictSame(
    leaseResult('10.5.0.9', all, 50).routes,
    routes.map(one => ({ ...one, priority: 50 })),
    'instead of router and option 33',
  );
  all.delete(121);
  t.strictSame(leaseResult('10.5.0.9', all, 0).routes, [
    { dst: '192.168.1.0/24', gw: '10.5.0.2' },
    { dst: '0.0.0.0/0', gw: '10.5.0.1' },
  ]);
  const search = Uint8Array.from([
    3,
    ...Buffer.from('eng'),
    7,
    ...Buffer.from('example'),
    0,
    4,
    ...Buffer.from('test'),
    0xc0,
    4,
  ]);
  t.strictSame(searchDomains(search), ['eng.example', 'test.example']);
  t.strictSame(searchDomains(Uint8Array.of(0xc0, 0)), [], 'a circle ends');
  const dns = new Map([
    [6, Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 2)],
    [15, Buffer.from('example\0')],
  ]);
  t.match(leaseResult('10.5.0.9', dns, 0).dns, { nameservers: ['10.0.0.1', '10.0.0.2'], domain: 'example' });
  t.equal(leaseResult('10.5.0.9', dns, 0).ips[0]!.address, '10.5.0.9/32', 'no mask');
  t.strictSame(leaseTimes(new Map([[51, u32(1000)]])), { lease: 1000, t1: 500, t2: 875 });
  t.strictSame(
    leaseTimes(
      new Map([
        [51, u32(1000)],
        [58, u32(10)],
        [59, u32(20)],
      ]),
    ),
    { lease: 1000, t1: 10, t2: 20 },
  );
  t.strictSame(
    leaseTimes(
      new Map([
        [51, u32(1000)],
        [58, u32(900)],
        [59, u32(20)],
      ]),
    ),
    { lease: 1000, t1: 500, t2: 875 },
    'times out of order',
  );
  t.strictSame(leaseTimes(new Map()).lease, 3600);
  t.end();
});

/** A link on which `respond` answers what the client sends. */
function link(respond: (request: DhcpMessage) => Uint8Array[]): DhcpTransport & { sent: DhcpMessage[] } {
  const sent: DhcpMessage[] = [];
  const waiting: Uint8Array[] = [];
  return {
    sent,
    send(_to, packet) {
      const asServer = packet.slice();
      asServer.set([0, 67, 0, 68], 20);
      asServer[28] = 2;
      const request = decodeMessage(asServer)!;
      sent.push(request);
      waiting.push(...respond(request));
    },
    receive: () => waiting.shift(),
  };
}

const client = {
  mac,
  id: clientIdOf('c1', 'net', 'eth0'),
  provide: [{ code: 12, hex: Buffer.from('host').toString('hex') }],
  request: [1, 3, 121],
};
/** Time limits of a daemon that no test reaches unless it changes them. */
const limits = (changes: Partial<SearchLimits> = {}): SearchLimits => ({
  requestMs: 60_000,
  longestDelayMs: 62_000,
  wholeMs: 60_000,
  ...changes,
});
const server: [number, Uint8Array] = [OPTION.SERVER, Uint8Array.of(10, 5, 0, 1)];

t.test('DISCOVER, OFFER, REQUEST, ACK among the noise of others', async t => {
  const wire = link(request => {
    const other = answerTo(
      { ...request, mac: Uint8Array.of(2, 0, 0, 0, 0, 9) },
      OFFER,
      [server],
      '10.5.0.66',
    );
    const stale = answerTo({ ...request, xid: request.xid ^ 1 }, OFFER, [server], '10.5.0.67');
    const answer = answerTo(request, request.type === DISCOVER ? OFFER : ACK, [server, [51, u32(60)]]);
    return [new Uint8Array(5), other, stale, answer];
  });
  const terms = await acquire(wire, client, limits(), () => performance.now());
  t.match(terms, { address: '10.5.0.9', server: '10.5.0.1' });
  t.strictSame(
    wire.sent.map(one => one.type),
    [DISCOVER, REQUEST],
  );
  t.equal(Buffer.from(wire.sent[0]!.options.get(OPTION.CLIENT_ID)!).toString(), '\0c1/net/eth0');
  t.equal(Buffer.from(wire.sent[0]!.options.get(12)!).toString(), 'host');
  t.strictSame([...wire.sent[0]!.options.get(OPTION.PARAMETERS)!], [1, 3, 121]);
  t.strictSame([...wire.sent[1]!.options.get(OPTION.REQUESTED_IP)!], [10, 5, 0, 9]);
});

t.test('a server that needs longer than one request waits (B11): its late offer is taken', async t => {
  const late: Uint8Array[] = [];
  const slow = link(request => {
    if (request.type === REQUEST) return [answerTo(request, ACK, [server])];
    late.push(answerTo(request, OFFER, [server]));
    return late.length === 3 ? [late[0]!] : [];
  });
  const quick = limits({ requestMs: 20 });
  t.match(await acquire(slow, client, quick, () => performance.now()), { address: '10.5.0.9' });
  const [first, ...others] = slow.sent;
  t.same(
    others.map(({ type, xid }) => ({ type, xid: xid === first!.xid })),
    [
      { type: DISCOVER, xid: true },
      { type: DISCOVER, xid: true },
      { type: REQUEST, xid: true },
    ],
    'one transaction',
  );
  const stop = new AbortController();
  const stopped = link(() => {
    stop.abort(new Error('deleted'));
    return [];
  });
  await t.rejects(
    acquire(stopped, client, limits(), () => 0, stop.signal),
    { message: 'deleted' },
  );
});

t.test('no server, a refusal, an extension', async t => {
  await t.rejects(
    acquire(
      link(() => []),
      client,
      limits({ wholeMs: 50 }),
      () => performance.now(),
    ),
    {
      code: 11,
      message: 'error calling DHCP.Allocate: no more tries',
      details: 'no DHCP server has given an address within 50 ms',
    },
  );
  let refusals = 0;
  const moody = link(request =>
    request.type === DISCOVER
      ? [answerTo(request, OFFER, [server])]
      : [answerTo(request, refusals++ === 0 ? NAK : ACK, [server])],
  );
  t.match(
    await acquire(moody, client, limits(), () => performance.now()),
    { address: '10.5.0.9' },
    'begins again after a refusal',
  );
  const keep = link(request => [answerTo(request, ACK, [server, [51, u32(99)]])]);
  t.match(await extend(keep, client, '10.5.0.9', undefined, 1000), { address: '10.5.0.9' });
  t.equal(keep.sent[0]!.clientIp, '10.5.0.9');
  t.notOk(keep.sent[0]!.options.has(OPTION.SERVER), 'an extension names no server (RFC 2131 table 4)');
  t.equal(
    await extend(
      link(request => [answerTo(request, NAK, [])]),
      client,
      '10.5.0.9',
      undefined,
      1000,
    ),
    'refused',
  );
  t.equal(
    await extend(
      link(() => []),
      client,
      '10.5.0.9',
      undefined,
      30,
    ),
    undefined,
  );
});

t.test('options of the configuration', t => {
  const read = (ipam: object, args = '') => readConfig({ config: { ipam }, args } as unknown as Call);
  t.match(read({}), {
    socket: '/run/cni/dhcp.sock',
    provide: [],
    request: [1, 3, 6, 15, 33, 58, 59, 119, 121],
    priority: 0,
  });
  t.strictSame(
    read({ request: [{ option: 'routers', skipDefault: true }, { option: '42' }] }).request,
    [3, 42],
  );
  t.strictSame(
    read({ provide: [{ option: 'host-name', fromArg: 'K8S_POD_NAME' }] }, 'K8S_POD_NAME=web').provide,
    [{ code: 12, hex: Buffer.from('web').toString('hex') }],
  );
  t.strictSame(read({ provide: [{ option: 'user-class', value: 'ab' }] }).provide, [
    { code: 77, hex: '026162' },
  ]);
  t.throws(() => read({ provide: [{ option: 'nonsense', value: 'x' }] }), {
    code: 7,
    message: /"nonsense" is not an option/,
  });
  const provided = (one: object) => read({ provide: [{ option: '12', ...one }] }, 'A=a').provide;
  t.strictSame(provided({ fromArg: 'X' }), [], 'a key that CNI_ARGS lacks (B17): the option is left out');
  t.strictSame(provided({}), []);
  t.match(provided({ fromArg: 'X', value: 'v' }), [{ hex: '76' }]);
  t.match(provided({ fromArg: 'A', value: 'v' }), [{ hex: '61' }], 'CNI_ARGS before the value');
  t.throws(() => read({ request: [{ option: '300' }] }), { code: 7 });
  t.end();
});

t.test('without a daemon: the error names its command, and DEL reads only the socket path', async t => {
  const network = (ipam: object) => ({
    cniVersion: '1.1.0',
    name: 'lan',
    type: 'x',
    ipam: { type: 'dhcp', daemonSocketPath: `${scratch(t)}/dhcp.sock`, ...ipam },
  });
  const gc = { ...network({}), 'cni.dev/valid-attachments': [] };
  t.match((await invoke(dhcp, attachment('GC'), gc)).json, {
    code: 11,
    details: 'start it: `ripstop cni dhcp-daemon`',
  });
  for (const fault of [{ provide: [{ option: 'gone' }] }, { request: 'x' }, { priority: -1 }]) {
    t.match((await invoke(dhcp, attachment('STATUS'), network(fault))).json, { code: 7 });
    t.equal((await invoke(dhcp, attachment('DEL'), network(fault))).text, '', JSON.stringify(fault));
  }
});

t.test("the reference plugins' daemon and plugin are told apart from ours", async t => {
  const directory = scratch(t);
  const socket = `${directory}/dhcp.sock`;
  const foreign = createServer(client => {
    client.on('data', () => client.end('HTTP/1.1 400 Bad Request\r\n\r\n400 Bad Request'));
  });
  await new Promise<void>(done => foreign.listen(socket, done));
  const config = {
    cniVersion: '1.1.0',
    name: 'lan',
    type: 'x',
    ipam: { type: 'dhcp', daemonSocketPath: socket },
  };
  t.match((await invoke(dhcp, attachment('STATUS'), config)).json, {
    code: 50,
    msg: /dhcp\.sock: what listens there is not Ripstop's dhcp daemon/,
  });
  t.equal((await invoke(dhcp, attachment('DEL'), config)).status, 0);
  await new Promise(done => foreign.close(done));

  const daemon = new DhcpDaemon({
    socket,
    stateDir: `${directory}/leases`,
    limits: limits(),
    log: () => {},
    now: Date.now,
  });
  await daemon.start();
  t.teardown(() => daemon.stop());
  const client = connect(socket, () => client.write('CONNECT /_goRPC_ HTTP/1.0\n\n'));
  let said = '';
  for await (const chunk of client) said += chunk;
  t.match(said, /^HTTP\/1\.0 501 .*dhcp plugin of Ripstop/);
  t.equal((await invoke(dhcp, attachment('STATUS'), config)).text, '', 'and goes on');
});

t.test('a damaged file of a lease is skipped and logged, and a malformed request is refused', async t => {
  const directory = scratch(t);
  const stateDir = `${directory}/leases`;
  const socket = `${directory}/dhcp.sock`;
  const good: StoredLease = {
    network: 'lan',
    containerId: 'c1',
    ifname: 'eth0',
    netns: '/no/such/namespace',
    link: 2,
    address: '10.0.0.9',
    server: '10.0.0.1',
    provide: [],
    request: [1, 3],
    priority: 0,
    options: [{ code: 51, hex: 'ffffffff' }],
    grantedAt: 0,
  };
  new LeaseFiles(stateDir).write(good);
  const { address: _, ...without } = good;
  const damaged = ['', 'null', '{}', '[]', '7', '{"network":1}', JSON.stringify(without)];
  damaged.push(JSON.stringify({ ...good, options: [[51, 'ffffffff']] }));
  damaged.push(JSON.stringify({ ...good, address: 'somewhere' }));
  for (const [index, text] of damaged.entries()) writeFileSync(`${stateDir}/${index}.json`, text);
  const log: string[] = [];
  const daemon = new DhcpDaemon({
    socket,
    stateDir,
    limits: limits(),
    log: line => void log.push(line),
    now: Date.now,
  });
  await daemon.start();
  t.teardown(() => daemon.stop());
  const logged = damaged.map((_, index) => `ignoring a damaged lease: ${stateDir}/${index}.json`);
  t.ok(
    logged.every(part => log.some(line => line.includes(part))),
    log.join('\n'),
  );
  t.equal(log.length, damaged.length);
  const ask = async (request: unknown): Promise<unknown> => {
    const client = connect(socket, () => client.end(JSON.stringify(request)));
    let text = '';
    for await (const chunk of client) text += chunk;
    return JSON.parse(text);
  };
  const lease = { network: 'lan', containerId: 'c1', ifname: 'eth0' };
  t.match(await ask({ method: 'check', ...lease }), { result: { ips: [{ address: '10.0.0.9/32' }] } });
  const malformed = [
    { method: 'nonsense', network: 'lan' },
    { method: 'check', network: 'lan', containerId: 'c1' },
    { method: 'collect', network: 'lan', valid: null },
    { method: 'collect', network: 'lan', valid: [{ containerID: 5, ifname: 'eth0' }] },
  ];
  for (const request of malformed) t.match(await ask(request), { error: { code: 7 } });
  t.match(await ask({ method: 'check', ...lease }), { result: {} }, 'and the lease is kept');
});

t.test("the daemon takes the reference daemon's flags", async t => {
  t.same(parseFlags(['-broadcast', '-timeout', '5s', '--hostprefix=/host']), {
    broadcast: true,
    timeout: '5s',
    hostprefix: '/host',
  });
  t.same(parseFlags(['-broadcast=false']), {});
  for (const wrong of [['-nonsense'], ['-timeout'], ['daemon']]) t.equal(parseFlags(wrong), undefined);
  t.strictSame(['10s', '1m2.5s', '500ms', '3', '', 'x', '5 s'].map(durationMs), [
    10_000,
    62_500,
    500,
    3000,
    Number.NaN,
    Number.NaN,
    Number.NaN,
  ]);
  const wire = link(request => [answerTo(request, request.type === DISCOVER ? OFFER : ACK, [server])]);
  await acquire(wire, { ...client, broadcast: true }, limits(), () => performance.now());
  t.ok(wire.sent.every(one => one.broadcast));
  const silent = link(() => []);
  let looks = 0;
  const counted: DhcpTransport = {
    send: (mac, packet) => silent.send(mac, packet),
    receive: () => {
      looks++;
      return silent.receive();
    },
  };
  // The clock advances with the second request; between two reads the client sleeps 10 ms.
  await t.rejects(
    acquire(counted, client, limits({ longestDelayMs: 10, wholeMs: 3000 }), () =>
      silent.sent.length < 2 ? 0 : 3000,
    ),
    { code: 11 },
  );
  t.equal(silent.sent.length, 2);
  t.ok(looks < 2 * 110, 'asked again sooner than after two seconds');
});

t.test('systemd hands the socket in', { skip: skipUnless('systemd-socket-activate') }, async t => {
  const directory = scratch(t);
  const socket = `${directory}/dhcp.sock`;
  const launcher = `${CHECKOUT}dist/cni/launch.cjs`;
  const daemon = launch([
    'systemd-socket-activate',
    '-l',
    socket,
    process.execPath,
    launcher,
    'dhcp',
    'daemon',
    `--statedir=${directory}/leases`,
  ]);
  t.teardown(() => daemon.stop());
  const ipam = { type: 'dhcp', daemonSocketPath: socket };
  const config = { cniVersion: '1.1.0', name: 'lan', type: 'x', ipam };
  // The file is there as soon as the socket is bound, which is before anything listens on it.
  await until('the daemon', async () => (await invoke(dhcp, attachment('STATUS'), config)).text === '');
  await daemon.stop();
  t.ok(existsSync(socket), "it is not the daemon's to remove");
});
