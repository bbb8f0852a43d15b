import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { launch } from '../../../src/lab/proc.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { configurationOf, newStateDir } from '../../fixtures/agents/run-node.ts';
import { BARE_ROOT, BareRoot } from '../../fixtures/bare-root.ts';
import { labFor, namespaceFor } from '../../fixtures/lab.ts';
import { completed, directoryFor, packed, STEP_MS } from '../../fixtures/package.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The package outside a checkout: packed, installed from the tarball by npm, and used as the guide says, in an empty
 * directory of this machine and in a root file system that has Node and npm and no compiler.
 */

const INSTALL = [
  ...['npm', 'install', '--omit=dev', '--omit=optional', '--ignore-scripts=false'],
  ...['--prefer-offline', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'],
];
const RIPSTOP = 'node_modules/.bin/ripstop';
const version: string = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')).version;

/** Where the package is installed. */
interface Place {
  /** Command line that runs `argv` in the directory of the installation. */
  argv(argv: readonly string[]): string[];
  /** Runs npm, which changes the installation. */
  npm(argv: readonly string[]): Promise<string>;
  /** The installation as this process sees it. */
  readonly folder: string;
  /** Only npm can change the installation. */
  readonly isReadOnly: boolean;
}

/** The package as it is published, or with this machine's build where no prebuilt addons were made. */
async function tarballFor(t: Test): Promise<string> {
  const folder = directoryFor(t);
  const { tarball, own } = completed(await packed(folder), folder);
  if (own) t.comment("without prebuilt addons; this machine's build is packed instead");
  return tarball;
}

/** npm could not reach its registry and does not have the packages in its cache. */
const isOffline = (error: unknown) =>
  /\b(ENOTFOUND|EAI_AGAIN|ENOTCACHED|ECONNREFUSED|ENETUNREACH|ETIMEDOUT)\b/.test(String(error));

const start = performance.now();
const seconds = (from: number) => `${((performance.now() - from) / 1000).toFixed(1)} s`;

/** @returns false where npm cannot install anything */
async function install(t: Test, place: Place, tarball: string): Promise<boolean> {
  const from = performance.now();
  try {
    await place.npm([...INSTALL, tarball]);
  } catch (error) {
    if (!isOffline(error)) throw error;
    t.pass('npm install', { skip: 'missing here: the registry of npm' });
    return false;
  }
  const { packages } = JSON.parse(
    readFileSync(join(place.folder, 'node_modules/.package-lock.json'), 'utf8'),
  );
  t.comment(`installed in ${seconds(from)}: ${Object.keys(packages).length} packages`);
  return true;
}

/** Commands that need neither root nor a network. */
async function useCommands(t: Test, place: Place, scratch: string): Promise<void> {
  const run = (...argv: string[]) => launch(place.argv(argv)).success(STEP_MS);
  t.equal((await run('npx', 'ripstop', '--version')).trim(), version);
  const capture = join(scratch, 'capture.pcapng');
  cpSync(join(CHECKOUT, 'test/fuzz/capture-seeds/wireshark.pcapng'), capture);
  const config = join(scratch, 'replay.yaml');
  const peer = { name: 'b', address: '192.0.2.2', subnets: ['10.244.2.0/24'] };
  writeFileSync(config, JSON.stringify({ underlay: '192.0.2.1', subnets: ['10.244.1.0/24'], peers: [peer] }));
  const replay = await run('npx', 'ripstop', 'replay', capture, '-c', config, '--summary');
  t.match(replay, /^[1-9]\d* packets?\b/m, replay);
}

/** Two nodes with a static configuration, and a ping from pod to pod. */
async function carryTraffic(t: Test, place: Place, scratch: string): Promise<void> {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const from = performance.now();
  const nodes = [one, two].map((node, i) => {
    const file = join(scratch, `node${i}.yaml`);
    writeFileSync(file, JSON.stringify(configurationOf(node, [[two, one][i]!])));
    const flags = [`--state-dir=${newStateDir()}`, '--log-level=debug'];
    return node.ns.launch(place.argv([RIPSTOP, 'run', file, ...flags]));
  });
  for (const node of nodes) await node.saying(/"ready":true/);
  const ping = ['ping', '-c1', '-W1', two.pods[0]!.address[4]];
  await until('a ping from pod to pod', () => one.pods[0]!.ns.attempt(ping).code === 0);
  t.comment(`from start to the first ping ${seconds(from)}`);
  for (const node of nodes) await node.stop();
  t.pass('the pods reach each other');
}

/** The CNI executables without an agent: an interface for a pod, and its removal. */
async function addInterface(t: Test, place: Place, scratch: string): Promise<void> {
  const [bin, conf] = [join(scratch, 'bin'), join(scratch, 'net.d')];
  const paths = [
    `--bin-dir=${bin}`,
    `--conf-dir=${conf}`,
    `--calls-dir=${scratch}`,
    `--socket=${scratch}/none`,
  ];
  await launch(place.argv(['npx', 'ripstop', 'cni', 'install', '--standalone', ...paths])).success(STEP_MS);
  t.ok(existsSync(join(conf, '10-ripstop.conflist')));
  const parts = readdirSync(join(place.folder, 'node_modules/ripstop/dist/cni'));
  t.equal(
    parts.some(name => name.endsWith('.cache')),
    !place.isReadOnly,
    'the plugins are compiled for this Node where that can be kept',
  );
  const [node, pod] = [namespaceFor(t), namespaceFor(t)];
  const ipam = { type: 'host-local', subnet: '10.9.0.0/24', dataDir: join(scratch, 'networks') };
  const config = { cniVersion: '1.0.0', name: 'net', type: 'bridge', isGateway: true, ipam };
  const call = (command: string) => {
    const names = [`CNI_COMMAND=${command}`, 'CNI_CONTAINERID=c1', `CNI_NETNS=${pod.path}`];
    const argv = ['env', ...names, 'CNI_IFNAME=eth0', `CNI_PATH=${bin}`, join(bin, 'bridge')];
    return node.launch(place.argv(argv), { input: JSON.stringify(config) }).success();
  };
  t.match(JSON.parse(await call('ADD')), { ips: [{ address: '10.9.0.2/24' }] });
  t.equal(pod.attempt(['ping', '-c1', '-W5', '10.9.0.1']).code, 0, 'the pod reaches its gateway');
  await call('DEL');
  t.notMatch(pod.must(['ip', '-o', 'link']), /eth0/);
}

async function use(t: Test, place: Place, tarball: string): Promise<boolean> {
  if (!(await install(t, place, tarball))) return false;
  const scratch = directoryFor(t);
  await t.test('version and replay', t => useCommands(t, place, scratch));
  await t.test('run', { skip: skipUnless('root', 'netns', 'tun', 'ping') }, t =>
    carryTraffic(t, place, scratch),
  );
  await t.test('cni install and ADD', { skip: skipUnless('root', 'netns', 'ping') }, t =>
    addInterface(t, place, scratch),
  );
  return true;
}

async function remove(t: Test, place: Place): Promise<void> {
  const from = performance.now();
  await place.npm(['npm', 'uninstall', 'ripstop', '--no-audit', '--no-fund', '--loglevel=error']);
  t.notOk(existsSync(join(place.folder, 'node_modules/ripstop')));
  t.notOk(existsSync(join(place.folder, RIPSTOP)));
  t.comment(`removed in ${seconds(from)}`);
}

/** A program that imports the package, checked by the compiler with every declaration that it meets. */
const PROGRAM = `
import { explain, openCapture, type Packet, VERDICTS } from 'ripstop';
import { dissect, ethernet, FORMATS, ipv4, OK } from 'ripstop/encap';

const lengths: number[] = [];
const capture = await openCapture(process.argv[2] ?? '');
for await (const packet of capture.packets()) lengths.push(lengthOf(packet));
function lengthOf({ length }: Packet): number {
  return length;
}
const view = new DataView(new ArrayBuffer(8));
const wrong = FORMATS.vxlan.check(view, 0, 8, 1);
const known = VERDICTS.every(({ name }) => explain(name)?.kind === 'verdict');
console.log(JSON.stringify([lengths.length, wrong === OK, known, ipv4.MIN_BYTES, ethernet.BYTES, typeof dissect]));
`;

async function useAsLibrary(t: Test, place: Place): Promise<void> {
  const options = {
    ...{ module: 'nodenext', target: 'es2023', strict: true, skipLibCheck: false },
    ...{ types: ['node'], typeRoots: [join(CHECKOUT, 'node_modules/@types')] },
  };
  const project = { compilerOptions: options, files: ['program.mts'] };
  writeFileSync(join(place.folder, 'tsconfig.json'), JSON.stringify(project));
  writeFileSync(join(place.folder, 'program.mts'), PROGRAM);
  const compiler = join(CHECKOUT, 'node_modules/typescript/bin/tsc');
  await launch([process.execPath, compiler, '-p', place.folder]).success(STEP_MS);
  const capture = join(CHECKOUT, 'test/fuzz/capture-seeds/wireshark.pcapng');
  const said = await launch([process.execPath, join(place.folder, 'program.mjs'), capture]).success();
  const [packets, ...rest] = JSON.parse(said);
  t.ok(packets > 0);
  t.same(rest, [false, true, 20, 14, 'function']);
}

t.test('installed into an empty directory', { skip: skipUnless('npm', 'flock') }, async t => {
  const folder = join(directoryFor(t), 'app');
  mkdirSync(folder);
  const tarball = await tarballFor(t);
  const argv = (argv: readonly string[]) => ['env', '-C', folder, ...argv];
  const place: Place = {
    folder,
    isReadOnly: false,
    argv,
    npm: words => launch(argv(words)).success(STEP_MS),
  };
  if (!(await use(t, place, tarball))) return;
  await t.test('library with types', t => useAsLibrary(t, place));
  await remove(t, place);
});

t.test(
  'installed in a root file system without a compiler',
  { skip: skipUnless(...BARE_ROOT, 'netns', 'flock') },
  async t => {
    const files = directoryFor(t);
    const tarball = await tarballFor(t);
    const root = await BareRoot.create(files);
    const tools = 'command -v cc gcc g++ clang make python3; ls /usr/lib/gcc 2>/dev/null; true';
    t.equal(await root.change(['sh', '-c', tools]), '', 'it has nothing that compiles');
    await root.change(['mkdir', '/app']);
    const place: Place = {
      folder: join(files, 'upper/app'),
      isReadOnly: true,
      argv: words => root.argv(words, '/app'),
      npm: words => root.change(words, '/app'),
    };
    if (await use(t, place, tarball)) await remove(t, place);
    t.comment(`all in ${seconds(start)}`);
  },
);
