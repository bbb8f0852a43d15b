import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { must } from '../../../src/lab/command.ts';
import { directoryFor, finished, type Packed, packed } from '../../fixtures/package.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { importsOf } from '../../guard/checks/import-rules.ts';

/* What the published package holds, and what publint and attw, the linters of packages, say of it. */

const manifest = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8'));

/** Files that a package may hold, besides what `npm pack` always adds. */
const WANTED = [
  /^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/,
  /^dist\/(encap|src)\/.*\.js$/,
  /^dist\/(encap|src)\/.*\.d\.ts$/,
  /^dist\/web\/(index\.html|web\.js|web\.css|icon\.svg)$/,
  /^dist\/cni\/(launch|plugins|re2js)\.cjs$/,
  /^prebuilds\//,
  // From these another platform builds the addon.
  /^src\/native\/([\w-]+\/)?[\w-]+\.(cc|h|gyp)$|^src\/native\/install\.mjs$/,
];

/** Imports of packed scripts that lead out of the package, or to a package that is not installed with it. */
function lost(root: string, paths: readonly string[]): string[] {
  const present = new Set(paths);
  const declared = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies ?? {})];
  const isKnown = (specifier: string) =>
    specifier.startsWith('node:') ||
    builtinModules.includes(specifier) ||
    declared.some(name => specifier === name || specifier.startsWith(`${name}/`));
  return paths
    .filter(path => path.endsWith('.js') && path !== 'dist/web/web.js')
    .flatMap(path => importsOf({ path, text: readFileSync(join(root, path), 'utf8') }))
    .filter(({ from, specifier }) =>
      specifier.startsWith('.')
        ? !present.has(normalize(join(dirname(from), specifier)))
        : !isKnown(specifier),
    )
    .map(({ from, specifier }) => `${from}: ${specifier}`)
    .sort();
}

function unpack(tarball: string, folder: string): string {
  must(['tar', '-xzf', tarball, '-C', folder]);
  return join(folder, 'package');
}

/** A linter's command in this checkout, its output and exit code. */
const lint = (bin: string, ...args: string[]) =>
  finished([process.execPath, join(CHECKOUT, 'node_modules', bin), ...args]);
const publint = (tarball: string) => lint('publint/src/cli.js', tarball, '--strict');
// The package is for `import` alone, and Node has known `exports` since 12.
const attw = (tarball: string) =>
  lint('@arethetypeswrong/cli/dist/index.js', tarball, '--profile', 'esm-only', '--no-color');

t.test('the package', { skip: skipUnless('npm', 'tar') }, async t => {
  const folder = directoryFor(t);
  const pack: Packed = await packed(folder);
  const paths = pack.files.map(({ path }) => path);
  const root = unpack(pack.tarball, folder);

  t.test('holds what runs and its types, and no tests, bench, TypeScript or maps', async t => {
    t.same(
      paths.filter(path => !WANTED.some(pattern => pattern.test(path))),
      [],
    );
    t.same(
      WANTED.filter(pattern => pattern.source !== '^prebuilds\\/' && !paths.some(path => pattern.test(path))),
      [],
    );
    t.comment(
      `${paths.length} files, ${pack.size} bytes packed, ${pack.unpackedSize} unpacked; prebuilt: ${
        paths.filter(path => path.startsWith('prebuilds/')).join(', ') || 'nothing'
      }`,
    );
  });

  t.test('is complete: each import leads to a packed file or to a dependency', async t => {
    t.same(lost(root, paths), []);
    writeFileSync(join(root, 'stray.js'), "import './absent.js';\nimport { x } from 'esbuild';\n");
    t.same(lost(root, ['stray.js']), ['stray.js: ./absent.js', 'stray.js: esbuild']);
  });

  t.test('names files that exist: commands, exports, types', async t => {
    const named = [manifest.types, ...Object.values(manifest.bin as Record<string, string>)];
    for (const target of Object.values(manifest.exports as Record<string, string | Record<string, string>>))
      named.push(...(typeof target === 'string' ? [target] : Object.values(target)));
    t.same(
      named.filter(path => !paths.includes(path.replace(/^\.\//, ''))),
      [],
    );
    t.equal(manifest.private, undefined);
    for (const [, bin] of Object.entries(manifest.bin as Record<string, string>))
      t.match(readFileSync(join(root, bin), 'utf8'), /^#!\/usr\/bin\/env node\n/);
  });

  t.test('publint and attw find nothing wrong', async t => {
    for (const linter of [publint, attw]) {
      const { code, stdout, stderr } = await linter(pack.tarball);
      t.equal(code, 0, `${linter.name}: ${stdout}${stderr}`);
    }
  });

  t.test('publint and attw find what is wrong', async t => {
    const bad = join(folder, 'bad');
    mkdirSync(bad);
    const exports = { '.': { types: './index.d.cts', default: './index.js' } };
    const text = { name: 'bad', version: '1.0.0', type: 'module', exports, bin: './index.js' };
    writeFileSync(join(bad, 'package.json'), JSON.stringify(text));
    writeFileSync(join(bad, 'index.js'), 'export const x = 1;\n');
    writeFileSync(join(bad, 'index.d.cts'), 'export declare const x: number;\n');
    must(['tar', '-czf', join(folder, 'bad.tgz'), '--transform=s,^bad,package,', '-C', folder, 'bad']);
    for (const linter of [publint, attw])
      t.equal((await linter(join(folder, 'bad.tgz'))).code, 1, linter.name);
  });

  t.test('has a bounded size', async t => {
    const limit = paths.some(path => path.startsWith('prebuilds/')) ? 8 : 1.25;
    t.ok(pack.size < limit * 2 ** 20, `${pack.size} bytes`);
  });
});
