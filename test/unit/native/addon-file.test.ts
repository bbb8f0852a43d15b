import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { addonFile, prebuiltAddon } from '../../../src/native/addon-file.ts';

/*
 * Which addon is loaded in an installed package, and what its installation does.
 */

const LOCAL = 'src/native/build/Release/ripstop.node';

/** The folder of a package with the files that find, load and build the addon. */
function installed(t: Test): string {
  const root = `${t.testdir()}/node_modules/ripstop/`;
  const files = ['dist/src/native/addon-file.js', 'dist/src/native/load.js', 'src/native/install.mjs'];
  for (const file of files) place(root, file, `${CHECKOUT}${file}`);
  writeFileSync(`${root}package.json`, '{"name":"ripstop","type":"module"}');
  return root;
}

function place(root: string, file: string, content: string): void {
  mkdirSync(dirname(root + file), { recursive: true });
  copyFileSync(content, root + file);
}

const prebuiltIn = (root: string) => prebuiltAddon(root).slice(root.length);

function run(root: string, script: string, env: NodeJS.ProcessEnv = {}) {
  const { RIPSTOP_NATIVE: _, ...inherited } = process.env;
  const ran = spawnSync(process.execPath, [script], {
    cwd: root,
    encoding: 'utf8',
    env: { ...inherited, ...env },
  });
  return { code: ran.status, stdout: ran.stdout, stderr: ran.stderr };
}

function loads(root: string, env?: NodeJS.ProcessEnv) {
  const text = "import { native } from './dist/src/native/load.js';\nconsole.log(typeof native.udpSend);\n";
  writeFileSync(`${root}probe.mjs`, text);
  return run(root, 'probe.mjs', env);
}

t.test('a build of this machine comes before a prebuilt addon', async t => {
  const before = process.env.RIPSTOP_NATIVE;
  t.teardown(() => {
    if (before === undefined) delete process.env.RIPSTOP_NATIVE;
    else process.env.RIPSTOP_NATIVE = before;
  });
  delete process.env.RIPSTOP_NATIVE;
  const root = installed(t);
  const report = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const libc = report.header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
  t.equal(addonFile(root), `${root}prebuilds/${process.platform}-${process.arch}/ripstop.${libc}.node`);
  place(root, LOCAL, `${CHECKOUT}${LOCAL}`);
  t.equal(addonFile(root), root + LOCAL);
  process.env.RIPSTOP_NATIVE = 'prebuilt';
  t.equal(addonFile(root), prebuiltAddon(root));
  process.env.RIPSTOP_NATIVE = 'Sanitize';
  t.equal(addonFile(root), `${root}src/native/build/Sanitize/ripstop.node`, 'even when it is not there');
});

t.test('either one is loaded', async t => {
  const root = installed(t);
  place(root, prebuiltIn(root), `${CHECKOUT}${LOCAL}`);
  t.same(loads(root), { code: 0, stdout: 'function\n', stderr: '' });
  writeFileSync(prebuiltAddon(root), 'not an addon');
  place(root, LOCAL, `${CHECKOUT}${LOCAL}`);
  t.same(loads(root), { code: 0, stdout: 'function\n', stderr: '' });
});

t.test('the error says which file is missing or faulty, and how to build it', async t => {
  const root = installed(t);
  const { stderr: missing } = loads(root);
  t.match(missing, `there is no native addon for linux-${process.arch}: ${prebuiltAddon(root)} is missing`);
  t.match(
    missing,
    /build it with "npm rebuild ripstop --foreground-scripts"\. It needs python3, make and a C\+\+17/,
  );
  mkdirSync(dirname(prebuiltAddon(root)), { recursive: true });
  writeFileSync(prebuiltAddon(root), 'not an addon');
  const { stderr: faulty } = loads(root);
  t.match(faulty, `the native addon does not load from ${prebuiltAddon(root)}`);
  t.match(faulty, /ERR_DLOPEN_FAILED/);
});

/** A node-gyp that notes its arguments and makes what the real one would. */
const NODE_GYP = `
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
writeFileSync('arguments.json', JSON.stringify(process.argv.slice(2)));
if (process.env.COMPILER === 'none') process.exit(1);
mkdirSync('src/native/build/Release', { recursive: true });
copyFileSync(process.env.ADDON, '${LOCAL}');
`;

function install(root: string, env: NodeJS.ProcessEnv = {}) {
  writeFileSync(`${root}node-gyp.mjs`, NODE_GYP);
  const given = { npm_config_node_gyp: `${root}node-gyp.mjs`, ADDON: `${CHECKOUT}${LOCAL}`, ...env };
  return run(root, 'src/native/install.mjs', given);
}

t.test('the installation compiles nothing where a prebuilt addon loads', async t => {
  const root = installed(t);
  place(root, prebuiltIn(root), `${CHECKOUT}${LOCAL}`);
  t.same(install(root), { code: 0, stdout: '', stderr: '' });
  t.notOk(existsSync(`${root}arguments.json`), 'node-gyp was not run');
});

t.test('it compiles the addon where none loads, and that one is loaded', async t => {
  const root = installed(t);
  mkdirSync(dirname(prebuiltAddon(root)), { recursive: true });
  writeFileSync(prebuiltAddon(root), 'for another machine');
  const { code, stderr } = install(root);
  t.equal(code, 0);
  t.match(stderr, /does not load .*compiling the native addon/);
  const words = JSON.parse(readFileSync(`${root}arguments.json`, 'utf8')) as string[];
  t.match(words, ['rebuild', `--directory=${root}src/native`]);
  t.same(words.slice(-2), ['--', '-Dwarnings_are_errors=0']);
  t.same(loads(root), { code: 0, stdout: 'function\n', stderr: '' });
});

t.test('it fails, and says what is needed, where nothing compiles', async t => {
  const { code, stderr } = install(installed(t), { COMPILER: 'none' });
  t.equal(code, 1);
  t.match(stderr, /is not built: node-gyp ended with 1\. It needs python3, make and a C\+\+17 compiler/);
});

t.test('it does nothing in a checkout', async t => {
  const root = installed(t);
  writeFileSync(`${root}tsconfig.json`, '{}');
  t.same(install(root), { code: 0, stdout: '', stderr: '' });
  t.notOk(existsSync(`${root}arguments.json`), 'node-gyp was not run');
});
