import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { ROOT, type SourceFile, sourcesBelow } from './checks/sources.ts';

const LINES_MAX = 400;
const DRAWERS = /(^|[-./])(utils?|helpers?|commons?|misc|managers?)([-./]|$)/i;
/** Files at the top; besides them only what a tool needs there, and dotfiles. */
const TOP = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'LICENSE',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
];
const TOP_FOLDERS = ['src', 'encap', 'bench', 'test', 'docs'];
/** Made by tools and ignored by git, or insisted on by them. */
const TOP_TOOLS = ['biome.json', 'dist', 'node_modules', 'prebuilds'];

// Spelled apart, so that this file does not find itself.
const LEFT_UNDONE = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME'].join('|')})\\b`);
const ALONE = new RegExp(`\\b\\w+\\.on${'ly'}\\(|\\bonly: true`);
const SKIPPED = new RegExp(`\\.sk${'ip'}\\(\\s*(?!['\`"\\w])|\\bskip: true|\\btodo: true`);

const CODE = ['.ts', '.tsx', '.css', '.c', '.cc', '.h'];

function tooLong({ path, text }: SourceFile): string[] {
  const lines = text.split('\n').length - 1;
  return lines > LINES_MAX ? [`${path}: ${lines} lines, ${LINES_MAX} at most`] : [];
}

function badName({ path }: { path: string }): string[] {
  return DRAWERS.test(path) ? [`${path}: a name that says nothing`] : [];
}

function unfinished({ path, text }: SourceFile): string[] {
  return text.split('\n').flatMap((line, index) => {
    const fault = LEFT_UNDONE.test(line) || ALONE.test(line) || SKIPPED.test(line);
    return fault ? [`${path}:${index + 1}: ${line.trim()}`] : [];
  });
}

const product = ['encap', 'src', 'bench'].flatMap(folder => sourcesBelow(folder, CODE));
const pages = sourcesBelow('docs', ['.md']);
const everything = [...product, ...sourcesBelow('test', CODE)];

t.test('a file can be read in one sitting', async t => {
  t.same(product.flatMap(tooLong), []);
});

t.test('files are named by what they are', async t => {
  t.same(everything.flatMap(badName), []);
});

/** Files that stand side by side in one folder; native code, wire formats and decisions are found by family instead. */
const FOLDER_MAX = 14;
const BY_FAMILY = /^(src\/native|encap|docs\/decisions)(\/|$)/;

t.test('a folder, counted at its top level, can be seen at a glance', async t => {
  const counts = new Map<string, number>();
  for (const { path } of [...everything, ...pages].filter(({ path }) => !BY_FAMILY.test(path)))
    counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  const large = [...counts].filter(([, count]) => count > FOLDER_MAX).map(([folder]) => folder);
  t.same(large, []);
});

t.test('nothing is left undone, run alone or skipped without a reason', async t => {
  t.same(everything.flatMap(unfinished), []);
});

t.test('the top of the tree holds the house and nothing else', async t => {
  const known = [...TOP, ...TOP_FOLDERS, ...TOP_TOOLS];
  const strange = readdirSync(ROOT).filter(name => !name.startsWith('.') && !known.includes(name));
  t.same(strange, []);
});

t.test('the table of moved paths, compared with the tree, names paths that exist', async t => {
  const table = readFileSync(join(ROOT, 'docs/guides/develop/paths.md'), 'utf8').split('## Removed')[0]!;
  const present = [...table.matchAll(/^\| \S+ \| (\S+) \|$/gm)].map(match => match[1]!);
  t.ok(present.length > 400);
  t.same(
    present.filter(path => !existsSync(join(ROOT, path))),
    [],
  );
});

t.test('the checks find what they look for', async t => {
  const file = (text: string, path = 'src/x.ts') => ({ path, text });
  t.equal(tooLong(file('\n'.repeat(401))).length, 1);
  t.equal(tooLong(file('\n'.repeat(400))).length, 0);
  for (const path of ['src/util.ts', 'src/net/helpers/x.ts', 'src/peer-manager.ts', 'encap/common.h'])
    t.equal(badName({ path }).length, 1, path);
  for (const path of ['src/net/rtnetlink/routes.ts', 'src/command.ts', 'src/utility-knife.ts'])
    t.equal(badName({ path }).length, 0, path);
  t.equal(unfinished(file(`// ${'TO' + 'DO'}: later`)).length, 1);
  t.equal(unfinished(file(`t.on${'ly'}('x', f)`)).length, 1);
  t.equal(unfinished(file(`t.sk${'ip'}()`)).length, 1);
  t.equal(unfinished(file(`t.sk${'ip'}('no tshark')`)).length, 0);
  t.equal(unfinished(file(`t.test('x', { sk${'ip'}: true }, f)`)).length, 1);
});
