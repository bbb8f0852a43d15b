#!/usr/bin/env node
/*
 * Makes a fresh clone ready, and does nothing where nothing is missing:
 *   node .ci/bootstrap.mjs native | sanitize | build | package | demo | bench | test
 * Order: distribution packages, npm packages, native addon, bench tools, TypeScript. Everything it says goes to standard error,
 * so that a command chained behind it owns standard output. Plain Node, no dependency: it runs before `npm ci`.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aptObstacle, findCommand, install, missing } from './apt.mjs';
import { profiles } from './packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const INSTALLED = at('node_modules/.package-lock.json');
/** Where a Node that brings its headers along has them, so that nothing need be downloaded; else undefined. */
const headers = () => {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
};
const say = line => process.stderr.write(`set-up: ${line}\n`);

function fail(line) {
  say(line);
  process.exit(1);
}

/** Runs a step with its output on standard error; ends the set-up when the step fails. */
function step(what, command, args, options = {}) {
  say(what);
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  if (result.error) fail(`${what}: ${command} does not start: ${result.error.message}`);
  if (result.status !== 0) fail(`${what} failed: ${command} ${args.join(' ')}`);
}

const mtime = file => (existsSync(file) ? statSync(file).mtimeMs : 0);

function walk(folder, wanted) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return entry.name === 'build' || entry.name === 'node_modules' ? [] : walk(path, wanted);
    return wanted.test(entry.name) ? [path] : [];
  });
}

const newest = files => Math.max(0, ...files.map(mtime));

function packages(profile) {
  const { required, wanted } = profiles[profile];
  // Debian's own Node keeps its headers in another package; any other one has them, or node-gyp fetches them.
  if (process.execPath === '/usr/bin/node')
    wanted.push({ probe: '/usr/include/node/node_api.h', packages: ['libnode-dev'] });
  const absent = missing([...required, ...wanted]);
  if (absent.length === 0) return;
  const obstacle = aptObstacle();
  if (obstacle === undefined) install(absent, say);
  const still = missing(absent);
  if (still.length === 0) return;
  const names = still.map(need => need.packages[0]).join(' ');
  const lacking = missing(required);
  const reason = obstacle ?? 'apt-get did not bring them';
  if (lacking.length > 0) fail(`missing packages, and ${reason}. Install them and run this again: ${names}`);
  say(`missing packages (${reason}); done without, tests that want them are skipped: ${names}`);
}

/** True when every package that the lock file names, but those of other platforms, is installed in its version. */
function lockSatisfied() {
  const packagesOf = file => JSON.parse(readFileSync(file, 'utf8')).packages;
  if (!existsSync(INSTALLED)) return false;
  const installed = packagesOf(INSTALLED);
  return Object.entries(packagesOf(at('package-lock.json'))).every(
    ([path, entry]) =>
      path === '' || entry.optional || entry.link || installed[path]?.version === entry.version,
  );
}

function nodeModules() {
  if (lockSatisfied()) return;
  const env = { ...process.env };
  const prefix = headers();
  if (prefix !== undefined) env.npm_config_nodedir = prefix;
  // `npm ci` installs everything anew, compiled packages included; a changed lock file mostly changes one or two.
  const [what, args] = existsSync(INSTALLED) ? ['npm install', ['install', '--no-save']] : ['npm ci', ['ci']];
  step(what, 'npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { env });
}

/** tap's test class is generated from its plug-ins; the one it ships has those that `.taprc` leaves out. Better once, here. */
function testRunner() {
  const built = at('node_modules/@tapjs/test/test-built/dist/commonjs/index.js');
  const unwanted = readFileSync(at('.taprc'), 'utf8').match(/(?<="!)[^"]+/g) ?? [];
  const text = existsSync(built) ? readFileSync(built, 'utf8') : undefined;
  if (text !== undefined && !unwanted.some(name => text.includes(name))) return;
  step('tap build', process.execPath, [at('node_modules/tap/dist/esm/run.mjs'), 'build']);
}

/** What a compiled addon was made for. One of another Node, machine or C library may not load. */
function platform() {
  const { glibcVersionRuntime: libc } = process.report.getReport().header;
  return `abi ${process.versions.modules} ${process.platform}-${process.arch} ${libc ? `glibc ${libc}` : 'musl'}`;
}

/** False for an addon that was compiled for another Node, machine or C library. */
function loads(addon) {
  try {
    createRequire(at('package.json'))(addon);
    return true;
  } catch (error) {
    return error.code !== 'ERR_DLOPEN_FAILED';
  }
}

/** npm compiles raw-socket for the Node that installs it, and does not do so again for another one. */
function compiledPackages() {
  if (loads('raw-socket')) return;
  const prefix = headers();
  const env = { ...process.env, ...(prefix === undefined ? {} : { npm_config_nodedir: prefix }) };
  step('npm rebuild raw-socket', 'npm', ['rebuild', 'raw-socket'], { env });
}

/** Compiles the addon in a configuration of binding.gyp: `Release`, or `Sanitize` with address and UB sanitizers. */
function addon(variant) {
  const sources = [...walk(at('src/native'), /\.(cc|h|c)$/), at('src/native/binding.gyp')];
  const stamp = at('src/native/build', variant, '.ripstop-built');
  const binary = at('src/native/build', variant, 'ripstop.node');
  const made = existsSync(stamp) ? readFileSync(stamp, 'utf8') : undefined;
  if (mtime(binary) >= newest(sources) && made === platform()) return;
  const gyp = [at('node_modules/node-gyp/bin/node-gyp.js')];
  // make compares times alone: what was built for another platform would count as fresh.
  const fits = made === undefined ? variant !== 'Release' || loads(binary) : made === platform();
  if (existsSync(binary) && !fits) gyp.push('clean');
  gyp.push('configure');
  if (variant === 'Release') gyp.push('build');
  gyp.push(`--directory=${at('src/native')}`, '--loglevel=warn');
  const prefix = headers();
  if (prefix !== undefined) gyp.push(`--nodedir=${prefix}`);
  step(`native addon (${variant})`, process.execPath, gyp);
  // node-gyp itself builds Release and Debug only.
  if (variant !== 'Release')
    step(`native addon (${variant})`, 'make', ['-s', '-C', at('src/native/build'), `BUILDTYPE=${variant}`]);
  writeFileSync(stamp, platform());
}

/** Each C file of the bench is one small program: what measures, what hashes, what is measured against. */
function tools() {
  const compiler = findCommand('cc') ?? findCommand('gcc') ?? findCommand('g++');
  const shared = newest(walk(at('bench'), /\.h$/));
  for (const source of walk(at('bench'), /\.c$/)) {
    const binary = at('dist/tools', basename(source, '.c'));
    if (mtime(binary) >= Math.max(mtime(source), shared)) continue;
    mkdirSync(dirname(binary), { recursive: true });
    const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];
    step(`bench tool ${relative(root, source)}`, compiler, [...flags, '-o', binary, source]);
  }
}

/** Endings of what the compiler makes of a file. */
const COMPILED = /\.(js(\.map)?|d\.ts)$/;

function typescript() {
  const rooms = ['encap', 'src', 'bench', 'test'];
  const sources = rooms.flatMap(room => walk(at(room), /\.ts$/));
  // A test whose source is gone must not run on.
  for (const room of rooms) {
    for (const file of walk(at('dist', room), COMPILED)) {
      if (existsSync(at(relative(at('dist'), file).replace(COMPILED, '.ts')))) continue;
      rmSync(file);
      rmSync(at('dist/.tsbuildinfo'), { force: true });
    }
  }
  const stamp = at('dist/.ripstop-built');
  if (mtime(stamp) < Math.max(newest(sources), mtime(at('tsconfig.json')))) {
    // The stamp carries the time before the build: what is edited meanwhile counts as newer.
    const started = new Date();
    step('TypeScript', process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', root]);
    writeFileSync(stamp, '');
    utimesSync(stamp, started, started);
  }
  const main = at('dist/src/cli/main.js');
  if (existsSync(main)) linkBinary(main);
}

/** Types of what `exports` in package.json names, and of all that these refer to; the package has no others. */
function declarations() {
  const project = at('.ci/declarations.json');
  const stamp = at('dist/.ripstop-declared');
  const sources = [
    ...['encap', 'src'].flatMap(room => walk(at(room), /\.ts$/)),
    project,
    at('tsconfig.json'),
  ];
  if (mtime(stamp) >= newest(sources)) return;
  step('type declarations', process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', project]);
  writeFileSync(stamp, '');
}

/** The web UI has a browser's types, not Node's. */
function checkWeb() {
  step('web UI', process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('src/web')]);
}

/** `npx ripstop` in the checkout runs this build. */
function linkBinary(main) {
  chmodSync(main, 0o755);
  const link = at('node_modules/.bin/ripstop');
  if (existsSync(link)) return;
  rmSync(link, { force: true });
  symlinkSync(relative(dirname(link), main), link);
}

const profile = process.argv[2] ?? 'build';
if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`Node ${process.versions.node} is too old; Node 20 or newer is needed`);
if (!Object.hasOwn(profiles, profile))
  fail(`unknown profile "${profile}"; it takes one of ${Object.keys(profiles).join(', ')}`);
packages(profile);
nodeModules();
compiledPackages();
addon(profile === 'sanitize' ? 'Sanitize' : 'Release');
if (profile !== 'native' && profile !== 'sanitize') {
  if (profile === 'test') testRunner();
  tools();
  typescript();
  if (profile === 'package') declarations();
  const { buildWeb } = await import('./web.mjs');
  await buildWeb(newest([...walk(at('src/web'), /./), ...walk(at('encap'), /\.ts$/)]), checkWeb);
  const { buildCni } = await import('./cni.mjs');
  const obstacle = await buildCni();
  if (obstacle !== undefined) say(`the CNI executables are not built: ${obstacle}`);
}
