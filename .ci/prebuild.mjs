#!/usr/bin/env node
/*
 * Compiles what the published package brings along, for every target, on any Linux:
 *   node .ci/prebuild.mjs [--out=FOLDER] [TARGET...]      TARGET: linux-x64, linux-arm64-musl ... or a part of it; default: all
 *   prebuilds/linux-ARCH/ripstop.{glibc,musl}.node        the addon, in the layout of node-gyp-build
 *   prebuilds/linux-ARCH/cni-shim                         the executable of the CNI plugins, static
 * Each addon is checked before it counts as built: see addon-symbols.mjs. Sources and flags are those of binding.gyp.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonFaults, napiStub } from './addon-symbols.mjs';
import { controlFlow, shimArguments } from './cni.mjs';
import { obtainZig, zigEnvironment } from './zig.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const say = line => process.stderr.write(`prebuild: ${line}\n`);

/** The oldest glibc: RHEL 8, Debian 10, Ubuntu 18.10; the one that Node's own binaries want. */
const GLIBC = '2.28';
const MACHINES = { x64: 'x86_64', arm64: 'aarch64' };
const TARGETS = Object.entries(MACHINES).flatMap(([arch, machine]) => [
  { name: `linux-${arch}-glibc`, arch, file: 'ripstop.glibc.node', triple: `${machine}-linux-gnu.${GLIBC}` },
  { name: `linux-${arch}-musl`, arch, file: 'ripstop.musl.node', triple: `${machine}-linux-musl` },
  { name: `linux-${arch}-shim`, arch, file: 'cni-shim', triple: `${machine}-linux-musl` },
]);

let zig;
function compile(what, args) {
  const compiled = spawnSync(zig, args, { encoding: 'utf8', env: zigEnvironment() });
  if (compiled.status === 0) return;
  throw new Error(`${what} does not compile: ${compiled.error?.message ?? compiled.stderr}`);
}

/** The headers of Node-API alone, which are the same for every Node. */
function headers() {
  const { include_dir: folder } = createRequire(at('package.json'))('node-api-headers');
  if (!existsSync(join(folder, 'node_api.h'))) throw new Error(`${folder} has no node_api.h; run "npm ci"`);
  return folder;
}

/** Sources and flags of the addon: binding.gyp is JSON. */
function recipe() {
  const [target] = JSON.parse(readFileSync(at('src/native/binding.gyp'), 'utf8')).targets;
  return {
    sources: target.sources.map(name => at('src/native', name)),
    flags: [...target.cflags_cc, '-Werror', ...target.defines.map(define => `-D${define}`)],
    linking: target.ldflags,
  };
}

function buildAddon({ name, arch, triple }, file) {
  const { sources, flags: common, linking } = recipe();
  const flags = [...common, ...controlFlow(arch)];
  const folder = mkdtempSync(join(tmpdir(), 'ripstop-prebuild-'));
  try {
    const includes = ['-isystem', headers()];
    // Compiled as C++, but linked as C: the addon does without the C++ runtime library (owned.h).
    const objects = sources.map(source => {
      const object = join(folder, `${basename(source, '.cc')}.o`);
      compile(name, ['c++', '-target', triple, '-c', '-fPIC', ...flags, ...includes, '-o', object, source]);
      return object;
    });
    const link = ['cc', '-target', triple, '-shared', '-O3', '-Wl,--as-needed', ...linking, ...objects];
    compile(name, [...link, '-s', '-o', file]);
    // The same once more, with what Node brings and nothing undefined: a function that this C library lacks shows here.
    const stub = napiStub(file, folder);
    compile(`${name}, linked with nothing undefined,`, [
      ...link,
      stub,
      '-Wl,-z,defs',
      '-o',
      join(folder, 'defined'),
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const faults = addonFaults(file, GLIBC);
  if (faults.length > 0) throw new Error(`${name} does not run everywhere: ${faults.join('; ')}`);
}

function buildShim({ name, arch, triple }, file) {
  // Zig's words for a static executable that runs at any address.
  compile(name, [
    'cc',
    '-target',
    triple,
    ...shimArguments(file, ['-fPIE', '-pie', '-static', ...controlFlow(arch)]),
  ]);
}

function build(target, out) {
  const folder = join(out, `linux-${target.arch}`);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, target.file);
  const draft = join(folder, `.${process.pid}-${target.file}`);
  try {
    if (target.file === 'cni-shim') buildShim(target, draft);
    else buildAddon(target, draft);
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
  process.stdout.write(`${file}: ${statSync(file).size} bytes\n`);
}

try {
  const words = process.argv.slice(2);
  const unknown = words.find(
    word => !word.startsWith('--out=') && !TARGETS.some(({ name }) => name.startsWith(word)),
  );
  if (unknown !== undefined) {
    const names = TARGETS.map(({ name }) => name).join(', ');
    throw new Error(`unknown target "${unknown}"; it takes --out=FOLDER and the beginning of ${names}`);
  }
  const out = words.find(word => word.startsWith('--out='))?.slice('--out='.length) ?? at('prebuilds');
  const wanted = words.filter(word => !word.startsWith('--out='));
  zig = obtainZig(say);
  for (const target of TARGETS)
    if (wanted.length === 0 || wanted.some(word => target.name.startsWith(word))) build(target, out);
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}
