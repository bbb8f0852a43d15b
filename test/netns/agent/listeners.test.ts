import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { configurationOf, runCommand } from '../../fixtures/agents/run-node.ts';
import { encodeRequest } from '../../fixtures/cni/protocol.ts';
import { labFor, namespaceFor } from '../../fixtures/lab.ts';
import { seeded } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'ping', 'curl') };

/** Sends hostile bytes from inside a namespace. @returns connections that were made */
async function attack(
  ns: Namespace,
  seed: number,
  rounds: number,
  places: readonly string[],
): Promise<number> {
  const program = `${CHECKOUT}dist/test/fixtures/traffic/hostile-program.js`;
  const said = await ns
    .launch([process.execPath, program, String(seed), String(rounds), ...places])
    .success();
  return Number(/done (\d+)/.exec(said)?.[1]);
}

/** Status code of a GET; 0 when there is no answer. */
function code(ns: Namespace, url: string): number {
  return Number(ns.attempt(['curl', '-s', '-m3', '-o', '/dev/null', '-w', '%{http_code}', url]).stdout);
}

/** Status code of a GET on a unix socket. */
function codeOf(socketPath: string, path: string): Promise<number> {
  return new Promise(resolve => {
    const call = request({ socketPath, path, timeout: 3000 }, response => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(0));
    call.end();
  });
}

/** The answer of the CNI socket to VERSION, as text. */
async function version(ns: Namespace, path: string): Promise<string> {
  const call = encodeRequest({
    plugin: 'ripstop',
    stdin: '{"cniVersion":"1.1.0"}',
    env: { CNI_COMMAND: 'VERSION' },
  });
  const program =
    'const s=require("net").connect(process.argv[1]);s.on("error",()=>{});' +
    's.end(Buffer.from(process.argv[2],"base64"));s.pipe(process.stdout)';
  return ns
    .launch([process.execPath, '-e', program, path, call.toString('base64')])
    .success()
    .catch(() => '');
}

t.test(
  'hostile requests to every listener of an agent, no ping lost, all answer afterwards',
  SKIP,
  async t => {
    const random = seeded(t, 12);
    const lab = labFor(t);
    const store = fileStoreFor(t);
    const flags = ['--healthz-port=8081', '--metrics-address=127.0.0.1:9433', '--web-port=8473'];
    const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
    for (const agent of agents) agent.rememberSubnet();
    for (const agent of agents) agent.start();
    await Promise.all(agents.map(agent => agent.ready(1)));
    const [agent] = agents;
    const { ns } = lab.nodes[0]!;
    const cni = join(agent!.stateDir, 'cni.sock');
    const { pid } = await agent!.ask('/status');
    await until('all listeners', () =>
      [8081, 8473].every(port => code(ns, `http://127.0.0.1:${port}/`) !== 0),
    );

    const stream = new PingStream(lab.nodes[0]!, lab.nodes[1]!);
    await until('the first pings', () => stream.reached > 5);
    const places = ['http:8081', 'http:9433', 'http:8473', `http:${agent!.socket}`, `cni:${cni}`];
    const connections = await attack(ns, random.seed, 150, places);
    t.ok(connections > 5 * 350, `${connections} connections`);

    for (const [url, wanted] of [
      ['http://127.0.0.1:8081/healthz', 200],
      ['http://127.0.0.1:8081/readyz', 200],
      ['http://127.0.0.1:8081//', 404],
      ['http://127.0.0.1:8081/metrics', 404],
      ['http://127.0.0.1:9433/metrics', 200],
      ['http://127.0.0.1:9433/healthz', 404],
      ['http://127.0.0.1:8473/', 200],
      ['http://127.0.0.1:8473/api/view', 401],
    ] as const)
      await until(`${url} to answer ${wanted}`, () => code(ns, url) === wanted);
    await until('the socket', async () => (await codeOf(agent!.socket, '/status')) === 200);
    t.match(await version(ns, cni), 'supportedVersions', 'the CNI socket answers');

    const status = await agent!.ask('/status');
    t.equal(status.pid, pid, 'the same process');
    t.equal(status.uncaught, null);
    t.same(
      status.endpoints.map(({ name, problem }) => [name, problem]).sort(),
      ['cni', 'health', 'metrics', 'web'].map(name => [name, null]),
    );
    t.notMatch(readFileSync(agent!.log, 'utf8'), /uncaught|side service/, 'no handler failed');
    t.match(ns.must(['curl', '-s', 'http://127.0.0.1:9433/metrics']), 'ripstop_uncaught_errors_total 0\n');
    const outcome = await stream.end();
    t.equal(outcome.lost, 0, `${outcome.sent} pings`);
    t.equal(code(ns, `http://${lab.nodes[0]!.underlay[4]}:8081/healthz`), 0, 'health is on loopback alone');
  },
);

t.test('hostile requests to the listeners of ripstop run, all answer afterwards', SKIP, async t => {
  const random = seeded(t, 34);
  const lab = labFor(t);
  const folder = mkdtempSync(join(tmpdir(), 'rs-run-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [one, two] = lab.nodes;
  const socket = join(folder, 'node1', 'agent.sock');
  const procs = [one!, two!].map((node, at) => {
    const file = join(folder, `node${node.index}.yaml`);
    writeFileSync(file, JSON.stringify(configurationOf(node, [at === 0 ? two! : one!])));
    const ways = at === 0 ? ['--web-port=8473'] : [];
    return node.ns.launch([...runCommand(file, join(folder, `node${at + 1}`)), ...ways]);
  });
  for (const proc of procs) await proc.saying(/"ready":true/);
  const stream = new PingStream(one!, two!);
  await until('the first pings', () => stream.reached > 5);
  await attack(one!.ns, random.seed, 80, ['http:8473', `http:${socket}`]);
  await until('the web UI', () => code(one!.ns, 'http://127.0.0.1:8473/') === 200);
  await until('the socket', async () => (await codeOf(socket, '/captures')) === 200);
  const outcome = await stream.end();
  t.equal(outcome.lost, 0, `${outcome.sent} pings`);
  t.notMatch(procs[0]!.stderr, /uncaught|side service/);
  for (const proc of procs) await proc.stop();
});

t.test('hostile requests to the dhcp daemon, it answers afterwards', SKIP, async t => {
  const random = seeded(t, 56);
  const folder = mkdtempSync(join(tmpdir(), 'rs-dhcp-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const ns = namespaceFor(t);
  const socket = join(folder, 'dhcp.sock');
  const run = `import { runPluginProcess } from ${JSON.stringify(`${CHECKOUT}dist/src/cni/process.js`)};
    await runPluginProcess('dhcp', ['daemon', '--socketpath', ${JSON.stringify(socket)}, '--statedir', ${JSON.stringify(folder)}]);`;
  const daemon = ns.launch([process.execPath, '--input-type=module', '-e', run]);
  await daemon.saying(/ready/);
  await attack(ns, random.seed, 80, [`text:${socket}`]);
  for (const text of ['null', '{"method":"collect"}', '{"method":"allocate"}', '{"method":1}', '{}']) {
    const said = await ask(ns, socket, text);
    t.match(said, text === 'null' ? '501' : /"error"/, text);
  }
  t.match(await ask(ns, socket, '{"method":"status","network":"n"}'), '{"result":null}');
  t.notMatch(daemon.stderr, /uncaught|contained/);
  await daemon.stop();
});

async function ask(ns: Namespace, path: string, text: string): Promise<string> {
  const program =
    'const s=require("net").connect(process.argv[1]);s.on("error",()=>{});s.end(process.argv[2]);s.pipe(process.stdout)';
  return ns.launch([process.execPath, '-e', program, path, text]).success();
}

t.test('taken ports and sockets: packets flow, each is named, and opened when it is free', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const ports = ['--healthz-port=8081', '--metrics-address=127.0.0.1:9433', '--web-port=8473'];
  const { agents } = agentsFor(t, lab, [...store.flags, ...ports]);
  for (const agent of agents) agent.rememberSubnet();
  const [agent, other] = agents;
  const { ns } = lab.nodes[0]!;
  const hold =
    '[8081, 9433, 8473].map(p => require("net").createServer().listen(p)).at(-1).on("listening", () => console.log("held"))';
  const holder = ns.launch([process.execPath, '-e', hold]);
  await holder.saying(/held/);
  // A directory in the place of the socket: rename(2) onto it fails.
  const cni = join(agent!.stateDir, 'cni.sock');
  mkdirSync(cni);
  writeFileSync(join(cni, 'file'), '');
  agent!.start();
  other!.start();
  await other!.ready(1);
  const pings = () =>
    lab.nodes[0]!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', lab.nodes[1]!.pods[0]!.address[4]]).code === 0;
  await until('packets to flow', pings);
  const problems = async () =>
    (await agent!.ask('/status')).endpoints.filter(({ problem }) => problem !== null);
  await until('all four to be named', async () => (await problems()).length === 4);
  for (const { name, problem } of await problems())
    t.match(problem, name === 'cni' ? /cni\.sock/ : /EADDRINUSE/, `${name}: ${problem}`);
  const { ready, reasons } = await agent!.ask('/status');
  t.equal(ready, false, 'pods cannot be wired: not ready');
  t.match(reasons.join(), 'cni: ');
  const { findings } = await agent!.ask('/doctor');
  const closed = findings.filter(({ kind }) => kind === 'endpoint-closed').map(({ what }) => what);
  t.equal(closed.length, 4, closed.join('\n'));
  t.match(closed.join(), '127.0.0.1:8081');

  const stream = new PingStream(lab.nodes[0]!, lab.nodes[1]!);
  await until('the first pings', () => stream.reached > 2);
  await holder.stop('SIGKILL');
  rmSync(cni, { recursive: true });
  await until('all to open', async () => (await problems()).length === 0);
  await agent!.ready(1);
  t.equal(code(ns, 'http://127.0.0.1:8081/readyz'), 200);
  t.match(await version(ns, cni), 'supportedVersions');
  const outcome = await stream.end();
  t.equal(outcome.lost, 0, `${outcome.sent} pings`);
});

t.test(
  'an uncaught error: logged, counted, exit code 70, and the next start continues with the same lease',
  SKIP,
  async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t);
    const { agents, root } = agentsFor(t, lab, [...store.flags, '--metrics-address=127.0.0.1:9433']);
    for (const agent of agents) agent.rememberSubnet();
    const [agent, other] = agents;
    const { ns } = lab.nodes[0]!;
    const preload = join(root, 'throw.mjs');
    writeFileSync(
      preload,
      "process.on('SIGUSR2', () => setTimeout(() => { throw new Error('a bug in a timer') }, 1));\n" +
        "process.on('SIGWINCH', () => void Promise.reject(new Error('a bug in a promise')));\n",
    );
    const before = ['env', `NODE_OPTIONS=--import=${preload}`];
    other!.start();
    for (const [signal, message] of [
      ['SIGUSR2', 'a bug in a timer'],
      ['SIGWINCH', 'a bug in a promise'],
    ] as const) {
      agent!.startBehind(before);
      await agent!.ready(1);
      const mac = ns.must(['cat', '/sys/class/net/flannel.1/address']);
      const ended = agent!.ended;
      agent!.signal(signal);
      t.same(
        await ended,
        { code: 70, signal: null },
        'EX_SOFTWARE: for systemd and the kubelet to start it again',
      );
      t.equal(ns.must(['cat', '/sys/class/net/flannel.1/address']), mac, 'the device stays, as at SIGTERM');
      t.match(ns.must(['ip', 'route']), '10.244.2.0/24', 'and so do the routes');
      t.match(ns.must(['nft', 'list', 'tables']), 'inet ripstop', 'and the rules');
      t.match(readFileSync(agent!.log, 'utf8'), new RegExp(`"level":"fatal".*${message}`));
    }
    agent!.start();
    const status = await agent!.ready(1);
    t.match(status.uncaught, { count: 2, message: 'a bug in a promise' });
    t.match(ns.must(['curl', '-s', 'http://127.0.0.1:9433/metrics']), 'ripstop_uncaught_errors_total 2\n');
    const { findings } = await agent!.ask('/doctor');
    t.match(findings.find(({ kind }) => kind === 'uncaught-error')?.what, '2 times');
  },
);

t.test('a recorded DEL that hangs: pods are wired meanwhile, and SIGTERM ends the agent', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t, { Backend: { Type: 'udp' } });
  const [agent] = agentsFor(t, lab, store.flags).agents;
  const plugins = t.testdir({});
  writeFileSync(`${plugins}/hangs`, `#!/bin/sh\necho $$ >${plugins}/begun\nexec sleep 600\n`, {
    mode: 0o755,
  });
  const calls = `${agent!.stateDir}/calls`;
  mkdirSync(calls, { recursive: true });
  const env = {
    CNI_COMMAND: 'DEL',
    CNI_CONTAINERID: 'c1',
    CNI_IFNAME: 'eth0',
    CNI_PATH: plugins,
    PATH: process.env.PATH!,
    RIPSTOP_TIME: '1',
  };
  const stdin = JSON.stringify({ cniVersion: '1.0.0', name: 'net', type: 'bridge', ipam: { type: 'hangs' } });
  writeFileSync(`${calls}/DEL-1.call`, encodeRequest({ plugin: 'bridge', stdin, env }));
  agent!.start();
  await agent!.ready(0);
  await until('the call is begun', () => existsSync(`${plugins}/begun`));
  t.match(await version(agent!.node.ns, `${agent!.stateDir}/cni.sock`), /supportedVersions/);
  const { ended } = agent!;
  await agent!.stop();
  t.match(await ended, { code: 0 }, 'it did not have to be killed');
  t.ok(existsSync(`${calls}/DEL-1.call`), 'the call stays recorded');
  process.kill(Number(readFileSync(`${plugins}/begun`, 'utf8')));
});
