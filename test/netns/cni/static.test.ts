import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import { loadPlugin, PLUGIN_NAMES } from '../../../src/cni/plugins.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { kernelNamespaces } from '../../../src/cni/skel/namespace.ts';
import { ALL_VERSIONS } from '../../../src/cni/skel/version.ts';
import { launch } from '../../../src/lab/proc.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The executables in a root file system that holds nothing else: no loader, no libc, no Node, no /proc.
 */

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'chroot');

const SOCKET = '/run/ripstop/cni.sock';
const CALLS = '/var/lib/cni/ripstop/calls';
const NETWORK = { cniVersion: '1.1.0', name: 'net' };

// biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
type Answer = { code: number; json: any; stdout: string; stderr: string };

function setUp(t: Test) {
  const lab = new CniNode(t);
  const root = `${lab.scratch}/root`;
  installCni({ binDir: `${root}/opt/cni/bin` });
  const log: string[] = [];
  let calls = 0;
  return {
    lab,
    root,
    log,
    records: () =>
      existsSync(root + CALLS) ? readdirSync(root + CALLS).filter(one => one.endsWith('.call')) : [],
    serve: async () => {
      mkdirSync(dirname(root + SOCKET), { recursive: true });
      const host = {
        clock: () => performance.now(),
        netns: lab.node.path,
        namespaces: kernelNamespaces,
        log: (line: string) => void log.push(line),
        own: loadPlugin,
        agent: { trouble: () => undefined },
      };
      const server = await serveCni(root + SOCKET, host, root + CALLS);
      const stop = () => server.close();
      t.teardown(stop);
      return stop;
    },
    /** A listener that is no agent of ours. */
    listen: async (take: (socket: Socket) => void) => {
      mkdirSync(dirname(root + SOCKET), { recursive: true });
      rmSync(root + SOCKET, { force: true });
      const sockets = new Set<Socket>();
      const server = createServer(socket => {
        sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
        take(socket);
      });
      await new Promise<void>(done => server.listen(root + SOCKET, done));
      const stop = () =>
        new Promise<void>(done => {
          server.close(() => done());
          for (const socket of sockets) socket.destroy();
        });
      t.teardown(stop);
      return stop;
    },
    exec: async (
      plugin: string,
      command: string,
      config: object | string,
      env: Record<string, string> = {},
    ): Promise<Answer> => {
      const input = `${lab.scratch}/stdin-${calls++}`;
      writeFileSync(input, typeof config === 'string' ? config : JSON.stringify(config));
      const variables = {
        CNI_COMMAND: command,
        CNI_CONTAINERID: 'c1',
        CNI_NETNS: '/run/netns/none',
        CNI_IFNAME: 'eth0',
        CNI_PATH: '/opt/cni/bin',
        ...env,
      };
      const pairs = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
      const line = `exec chroot ${root} /opt/cni/bin/${plugin} < ${input}`;
      const proc = launch(['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', ...pairs, 'sh', '-c', line]);
      const { code } = await proc.ended;
      const { stdout, stderr } = proc;
      return { code: code ?? 255, stdout, stderr, json: stdout === '' ? undefined : JSON.parse(stdout) };
    },
  };
}

t.test(
  'the executable needs no loader, and each plugin is a file of its own',
  { skip: skipUnless('root') },
  async t => {
    const { root } = setUp(t);
    const files = PLUGIN_NAMES.map(name => `${root}/opt/cni/bin/${name}`);
    const elf = readFileSync(files[0]!);
    // Program headers of ELF64: e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type 3 is PT_INTERP.
    const [at, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
    const types = Array.from({ length: count }, (_, i) => elf.readUInt32LE(at + i * size));
    t.notOk(types.includes(3), 'no interpreter');
    t.equal(new Set(files.map(file => statSync(file).ino)).size, files.length);
    t.ok(elf.length < 2 << 20, `${elf.length} bytes`);
  },
);

t.test('VERSION says of every plugin what the plugin itself says', { skip }, async t => {
  const { exec } = setUp(t);
  for (const name of PLUGIN_NAMES) {
    const { code, json } = await exec(name, 'VERSION', '');
    t.equal(code, 0);
    t.strictSame(json, { cniVersion: '1.1.0', supportedVersions: [...ALL_VERSIONS] }, name);
  }
});

t.test('no agent, nothing but the executables: each command has its answer', { skip }, async t => {
  const { exec, records, root } = setUp(t);
  for (const plugin of ['ripstop', 'bridge', 'host-local']) {
    const at = async (command: string) => {
      const { code, json } = await exec(plugin, command, { ...NETWORK, type: plugin });
      t.equal(code, 1);
      return json;
    };
    t.match(await at('STATUS'), { cniVersion: '1.1.0', code: 50, msg: /agent of this node does not answer/ });
    t.match(await at('ADD'), { code: 11, msg: /agent of this node does not answer/, details: /start it/ });
    t.match(await at('CHECK'), { code: 11 });
    t.match(await at('ADDD'), { code: 4, msg: 'unknown CNI_COMMAND: ADDD' });
  }
  t.strictSame(records(), [], 'only DEL and GC are recorded');
  t.match((await exec('bridge', 'ADD', { ...NETWORK, cniVersion: '0.4.0' })).json, { cniVersion: '0.4.0' });
  const otherCase = { ...NETWORK, CNIVersion: '0.3.1' };
  t.match(
    (await exec('bridge', 'ADD', otherCase)).json,
    { cniVersion: '0.3.1' },
    'the last key, in any case',
  );
  t.match(await exec('bridge', 'DEL', NETWORK), { code: 0, stdout: '', stderr: '' });
  t.match(await exec('bridge', 'DEL', NETWORK), { code: 0, stdout: '' });
  t.equal(records().length, 1, 'a repeated DEL has one record');
  t.match(await exec('bridge', 'DEL', NETWORK, { CNI_IFNAME: 'net1' }), { code: 0 });
  t.match(await exec('bridge', 'DEL', { ...NETWORK, name: 'other' }), { code: 0 });
  t.match(await exec('bridge', 'DEL', { ...NETWORK, mtu: 1400 }), { code: 0 });
  t.equal(records().length, 4, 'each interface, network and configuration of a plugin has its own record');
  const gc = { ...NETWORK, 'cni.dev/valid-attachments': [] };
  for (let i = 0; i < 2; i++) t.match(await exec('bridge', 'GC', gc), { code: 0, stdout: '' });
  t.equal(records().length, 5, 'a repeated GC has one record');
  for (const name of records())
    t.match(
      readFileSync(`${root}${CALLS}/${name}`, 'latin1'),
      /RIPSTOP_CWD=\/[^a-z]/,
      'the working directory',
    );
  t.equal(statSync(root + CALLS).mode & 0o777, 0o700);
  t.equal(statSync(`${root}/var/lib`).mode & 0o777, 0o755);
  for (const name of records()) t.equal(statSync(`${root}${CALLS}/${name}`).mode & 0o777, 0o600);
});

t.test('no agent: a DEL that could never be completed is refused at once', { skip }, async t => {
  const { exec, records } = setUp(t);
  const refused = async (config: object | string, env: Record<string, string> = {}) =>
    (await exec('bridge', 'DEL', config, env)).json;
  t.match(await refused('{"name":"net"'), { code: 6 });
  t.match(await refused('[]'), { code: 6 });
  t.match(await refused(''), { code: 6 });
  t.match(await refused('{"name":"net"} x'), { code: 6 });
  t.match(await refused({ cniVersion: '1.0.0' }), { code: 7, msg: /network name/, cniVersion: '1.0.0' });
  t.match(await refused({ ipam: { name: 'inner' } }), { code: 7 }, 'a name further in is not the name');
  t.match(await refused({ name: '../x' }), { code: 7 });
  t.match(await refused(NETWORK, { CNI_CONTAINERID: '' }), { code: 4 });
  t.match(await refused(NETWORK, { CNI_CONTAINERID: '../x"\\' }), { code: 4, details: '../x"\\' });
  t.match(await refused(NETWORK, { CNI_IFNAME: '' }), { code: 4 });
  t.match(await refused(NETWORK, { CNI_PATH: '' }), { code: 4 });
  t.strictSame(records(), []);
  const quoted = `{"text":"a \\"name\\": {[","name" : "net","list":[{"name":"no"}]}`;
  t.match(await exec('bridge', 'DEL', quoted), { code: 0 });
  t.equal(records().length, 1);
});

t.test(
  'no agent: calls that cannot be recorded are refused with code 11 and the reason',
  { skip },
  async t => {
    const { exec, root, records } = setUp(t);
    const del = async (config: object = NETWORK) => (await exec('bridge', 'DEL', config)).json;
    t.match(await del({ ...NETWORK, more: 'x'.repeat(1 << 20) }), { code: 11, details: /File too large/ });
    mkdirSync(`${root}/var/lib/cni/ripstop`, { recursive: true });
    writeFileSync(root + CALLS, '');
    t.match(await del(), { code: 11, msg: /cannot be recorded/, details: /Not a directory/ });
    rmSync(root + CALLS);
    mkdirSync(root + CALLS);
    for (let i = 0; i < 4096; i++) writeFileSync(`${root}${CALLS}/DEL-${i}.call`, '');
    t.match(await del(), { code: 11, details: /is full: it holds at most 4096 recorded calls/ });
    t.equal(records().length, 4096);
  },
);

t.test("with the socket of an agent in that root: every command is the agent's", { skip }, async t => {
  const { exec, lab, serve, records } = setUp(t);
  const pod = lab.pod(t);
  const network = { ...NETWORK, type: 'bridge', isGateway: true, ipam: lab.ipam() };
  const env = { CNI_NETNS: pod.path };
  const dir = `${lab.scratch}/networks/net`;
  const held = () => readdirSync(dir).filter(name => /^\d/.test(name));
  const stop = await serve();
  t.match(await exec('bridge', 'STATUS', network), { code: 0, stdout: '' });
  const add = await exec('bridge', 'ADD', network, env);
  t.match(add.json, { ips: [{ address: '10.1.0.2/24' }] }, add.stdout);
  const prevResult = add.json;
  t.match(await exec('bridge', 'CHECK', { ...network, prevResult }, env), { code: 0, stdout: '' });
  t.match((await exec('bridge', 'VERSION', '')).json, { cniVersion: '1.1.0' });
  await stop();
  t.match((await exec('bridge', 'STATUS', network)).json, { code: 50 });
  t.match(await exec('bridge', 'DEL', network, env), { code: 0, stdout: '' });
  t.match(await exec('bridge', 'GC', { ...network, 'cni.dev/valid-attachments': [] }), { code: 0 });
  t.strictSame(held(), ['10.1.0.2'], 'the executable deletes nothing itself');
  t.equal(records().length, 2);
  const stopAgain = await serve();
  await until('the records are completed', () => records().length === 0);
  t.strictSame(held(), []);
  t.notMatch(lab.node.ip('link show'), /veth/);
  t.match(await exec('bridge', 'GC', { ...network, 'cni.dev/valid-attachments': [] }), { code: 0 });
  await stopAgain();
});

t.test(
  'DELs while the agent comes and goes: none is lost, none waits for another start',
  { skip },
  async t => {
    const { exec, lab, serve, records, log } = setUp(t);
    const network = { ...NETWORK, type: 'host-local', ipam: lab.ipam() };
    const dir = `${lab.scratch}/networks/net`;
    const held = () => readdirSync(dir).filter(name => /^\d/.test(name));
    const ids = Array.from({ length: 48 }, (_, i) => `c${i}`);
    const of = (id: string) => ({ CNI_CONTAINERID: id });
    const stop = await serve();
    await Promise.all(ids.map(id => exec('host-local', 'ADD', network, of(id))));
    t.equal(held().length, ids.length);
    await stop();
    const deleted = Promise.all(
      ids.map(async (id, i) => {
        await new Promise(wake => setTimeout(wake, i * 20));
        return exec('host-local', 'DEL', network, of(id));
      }),
    );
    for (let cycle = 0; cycle < 6; cycle++) {
      const end = await serve();
      await new Promise(wake => setTimeout(wake, 50));
      await end();
    }
    await serve();
    for (const { code, stdout } of await deleted) t.equal(code, 0, stdout);
    await until(
      'every address is free',
      () => held().length === 0 && records().length === 0,
      PATIENCE_MS,
      50,
    );
    t.notMatch(log.join('\n'), /set a recorded call aside|failed/);
  },
);

t.test(
  'an agent that does not answer in time: code 11 (STATUS: 50), and nothing is recorded',
  { skip },
  async t => {
    const { exec, listen, records } = setUp(t);
    const limit = { RIPSTOP_CNI_TIMEOUT: '1' };
    const stop = await listen(socket => socket.resume());
    for (const command of ['ADD', 'DEL', 'GC', 'CHECK', 'STATUS'])
      t.match(
        (await exec('bridge', command, NETWORK, limit)).json,
        { code: command === 'STATUS' ? 50 : 11, msg: /time limit/ },
        command,
      );
    await stop();
    const stopSlow = await listen(socket => {
      socket.write(Buffer.from([0, 200, 0, 0, 0, 1]));
    });
    t.match(
      (await exec('bridge', 'ADD', NETWORK, limit)).json,
      { code: 11 },
      'an answer in part is not printed',
    );
    t.strictSame(records(), []);
    await stopSlow();
  },
);

t.test(
  'an agent that takes no connections: code 11 within the limit',
  { skip: skipUnless('root', 'python3') },
  async t => {
    const { exec, root, records } = setUp(t);
    mkdirSync(dirname(root + SOCKET), { recursive: true });
    const program = `import socket,time
s=socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(root + SOCKET)}); s.listen(0)
c=[]
for _ in range(1):
  x=socket.socket(socket.AF_UNIX); x.connect(${JSON.stringify(root + SOCKET)}); c.append(x)
print("full", flush=True); time.sleep(100)`;
    const full = launch(['python3', '-c', program]);
    t.teardown(() => full.stop());
    await full.saying(/full/);
    t.match((await exec('bridge', 'DEL', NETWORK, { RIPSTOP_CNI_TIMEOUT: '1' })).json, { code: 11 });
    t.strictSame(records(), []);
  },
);

t.test('an agent that ends during the call: DEL is recorded, ADD is to be tried again', { skip }, async t => {
  const { exec, listen, records } = setUp(t);
  await listen(socket => {
    socket.once('data', () => socket.destroy());
  });
  t.match((await exec('bridge', 'ADD', NETWORK)).json, { code: 11, msg: /ended during the call/ });
  t.match(await exec('bridge', 'DEL', NETWORK), { code: 0, stdout: '' });
  t.equal(records().length, 1);
});

t.test('a runtime that leaves the input open: code 11', { skip }, async t => {
  const { root, lab } = setUp(t);
  const fifo = `${lab.scratch}/fifo`;
  const env = 'CNI_COMMAND=DEL RIPSTOP_CNI_TIMEOUT=1';
  // The program has the other end of its input open itself.
  const line = `mkfifo ${fifo}; exec 9<>${fifo}; ${env} exec chroot ${root} /opt/cni/bin/bridge <${fifo}`;
  const proc = launch(['sh', '-c', line]);
  t.equal((await proc.ended).code, 1);
  t.match(JSON.parse(proc.stdout), { code: 11, msg: /stdin/, details: /timed out/ });
});

t.test('start from a shell, and before the installation', { skip }, async t => {
  const { root } = setUp(t);
  const by = launch(['chroot', root, '/opt/cni/bin/dhcp', 'daemon']);
  t.equal((await by.ended).code, 1);
  t.match(by.stderr, /ripstop cni dhcp-daemon/);
  const bare = launch(['env', '-i', `${process.cwd()}/dist/cni/shim`]);
  t.equal((await bare.ended).code, 1);
  t.match(bare.stderr, /ripstop cni install/);
  t.equal(execFileSync('chroot', [root, '/opt/cni/bin/bridge'], { encoding: 'utf8', stdio: 'pipe' }), '');
});
