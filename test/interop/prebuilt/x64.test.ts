import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, symlinkSync } from 'node:fs';
import { promisify } from 'node:util';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { attempt } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import { native } from '../../../src/native/load.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The binaries of the published package, cross-compiled as a release compiles them: what they ask of the host, and that this
 * Node loads the one that is for it. Zig is fetched from PyPI once.
 */

interface Zig {
  obtainZig(say: (line: string) => void): string;
}

interface Symbols {
  addonFaults(file: string, newest: string): string[];
  neededLibraries(file: string): string[];
  undefinedSymbols(file: string): { name: string; version: string | undefined }[];
}

const { obtainZig } = (await import(`${CHECKOUT}.ci/zig.mjs`)) as Zig;
const symbols = (await import(`${CHECKOUT}.ci/addon-symbols.mjs`)) as Symbols;

/** False when there is a compiler, else what keeps it away. */
function zigMissing(): string | false {
  try {
    obtainZig(() => {});
    return false;
  } catch (error) {
    return `missing here: ${(error as Error).message.split('\n')[0]}`;
  }
}

const skip = skipUnless('readelf') || zigMissing();
const OUT = `${scratch()}/prebuilt`;
const file = (name: string) => `${OUT}/linux-x64/${name}`;

/** The folder of an installed package: compiled sources and prebuilt binaries, nothing that this machine compiled. */
function installed(): string {
  const root = `${OUT}/package`;
  if (existsSync(root)) return root;
  for (const folder of ['dist/src', 'dist/encap'])
    cpSync(`${CHECKOUT}${folder}`, `${root}/${folder}`, {
      recursive: true,
      filter: name => !name.endsWith('.map'),
    });
  symlinkSync(`${CHECKOUT}node_modules`, `${root}/node_modules`);
  copyFileSync(`${CHECKOUT}package.json`, `${root}/package.json`);
  cpSync(`${OUT}/linux-x64`, `${root}/prebuilds/linux-x64`, { recursive: true });
  return root;
}

t.test('the addon for glibc and musl, and the CNI executable', { skip }, async t => {
  const script = [`${CHECKOUT}.ci/prebuild.mjs`, `--out=${OUT}`, 'linux-x64'];
  const { stdout } = await promisify(execFile)(process.execPath, script);
  t.match(
    stdout,
    /ripstop\.glibc\.node: \d+ bytes\n.*ripstop\.musl\.node: \d+ bytes\n.*cni-shim: \d+ bytes\n$/,
  );

  t.test('glibc: nothing newer than 2.28, and no C++ runtime', async t => {
    const addon = file('ripstop.glibc.node');
    t.same(symbols.addonFaults(addon, '2.28'), []);
    const versions = symbols.undefinedSymbols(addon).flatMap(({ version }) => version ?? []);
    t.ok(versions.length > 20, 'the functions of the C library have versions');
    const minors = versions.map(version => Number(/^GLIBC_2\.(\d+)/.exec(version)?.[1]));
    t.ok(Math.max(...minors) <= 28, versions.join(' '));
    t.notMatch(symbols.neededLibraries(addon).join(' '), /stdc\+\+|gcc_s|c\+\+/);
  });

  t.test('musl: its C library alone', async t => {
    t.same(symbols.neededLibraries(file('ripstop.musl.node')), ['libc.so']);
    t.same(symbols.addonFaults(file('ripstop.musl.node'), '2.28'), []);
  });

  const foreign = process.arch !== 'x64' && 'missing here: an x64 processor';
  t.test('an installed package loads it', { skip: foreign }, async t => {
    const root = installed();
    const probe = `
      import { native } from '${root}/dist/src/native/load.js';
      let refused;
      try { native.netlinkOpen('/nowhere', 0, 0); } catch (error) { refused = error.code; }
      console.log(JSON.stringify({ names: Object.keys(native), constants: native.constants, refused }));`;
    const ran = attempt([process.execPath, '--input-type=module', '--eval', probe]);
    t.equal(ran.stderr, '');
    const { names, constants, refused } = JSON.parse(ran.stdout);
    t.same(names, Object.keys(native), 'the functions of the local build');
    t.same(constants, native.constants);
    t.equal(refused, 'ENOENT');
  });

  t.test('the CNI executable needs no library and runs', { skip: foreign }, async t => {
    t.same(symbols.neededLibraries(file('cni-shim')), []);
    t.match(attempt([file('cni-shim')]), { code: 1, stderr: /put in place by `ripstop cni install`/ });
    const binDir = `${OUT}/bin`;
    const install = `
      import { installCni } from '${installed()}/dist/src/cni/install.js';
      installCni({ binDir: '${binDir}', socket: '${OUT}/nobody.sock', names: ['bridge'] });`;
    t.equal(attempt([process.execPath, '--input-type=module', '--eval', install]).stderr, '');
    const called = attempt(['env', 'CNI_COMMAND=VERSION', `${binDir}/bridge`]);
    t.match(JSON.parse(called.stdout), { supportedVersions: Array }, called.stderr);
  });
});

t.test('what does not run everywhere is refused', { skip: skipUnless('readelf', 'g++') }, async t => {
  const source = `${scratch()}/faulty`;
  const faults = (text: string, ...flags: string[]) => {
    const made = attempt(['g++', '-shared', '-fPIC', ...flags, '-o', source, '-x', 'c++', '-'], text);
    t.equal(made.code, 0, made.stderr);
    return symbols.addonFaults(source, '2.28').join('\n');
  };
  const C = '-Wl,--as-needed';
  const use = 'extern "C" void napi_throw(); void load() { napi_throw(); }';
  t.equal(faults(use, C), '');
  t.match(faults(`${use} int* make() { return new int; }`), /libstdc\+\+\.so\.6, which a host need not have/);
  t.match(
    faults(`#include <cstring>\n${use} const char* name() { return strerrorname_np(1); }`, C),
    /strerrorname_np must have version GLIBC_2\.32; glibc 2\.28 or older is allowed/,
  );
  const nowhere = 'extern "C" void nowhere(); void* get(); void more() { nowhere(); }';
  t.match(
    faults(`#include <cstdlib>\n${use}${nowhere} void end() { abort(); }`, C),
    /^nowhere is in no library/,
  );
  t.match(
    faults('extern "C" void node_api_symbol_for(); void load() { node_api_symbol_for(); }', C),
    /Node-API 8/,
  );
  t.match(faults('int nothing;', C), /uses no function of Node-API/);
});
