import t from 'tap';
import { type SourceFile, sourcesBelow } from './checks/sources.ts';

/*
 * What the compiler does not hold: a name of a type means one thing, and an index that is asserted instead of checked
 * (`a[i]!`) stands only where a check would cost time for every frame.
 */

const files = ['encap', 'src'].flatMap(folder => sourcesBelow(folder, ['.ts', '.tsx']));

const DECLARED = /^export (?:declare )?(?:abstract )?(?:interface|class|type|enum) (\w+)/gm;

/** Names that more than one file exports, with the files. */
function doubled(sources: readonly SourceFile[]): string[] {
  const homes = new Map<string, string[]>();
  for (const { path, text } of sources)
    for (const match of text.matchAll(DECLARED))
      homes.set(match[1]!, [...(homes.get(match[1]!) ?? []), path]);
  return [...homes]
    .filter(([, paths]) => paths.length > 1)
    .map(([name, paths]) => `${name}: ${paths.join(', ')}`);
}

/** Lines with an asserted index outside functions marked `@hot`. A function ends at the brace below its first letter. */
function assertedIndexes({ path, text }: SourceFile): string[] {
  const found: string[] = [];
  let marked = false;
  let end: string | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (end === undefined && /^\s*(\/\*)?\*.*@hot\b/.test(line)) marked = true;
    else if (marked && !/^\s*(\/?\*|\/\/)/.test(line) && line.trim() !== '') {
      end = `${/^\s*/.exec(line)![0]}}`;
      marked = false;
    }
    if (end === undefined && /\]!/.test(line)) found.push(`${path}:${index + 1}: ${line.trim()}`);
    if (line === end || line === `${end};`) end = undefined;
  }
  return found;
}

t.test('exported type names, compared across src and encap, have one meaning each', async t => {
  t.ok(files.length > 300, `${files.length} files`);
  t.same(doubled(files), []);
});

t.test('an index, outside functions marked @hot, is checked and not asserted', async t => {
  t.same(files.flatMap(assertedIndexes), []);
});

t.test('JSON in src is parsed by the schema reader', async t => {
  const own = files.filter(({ path, text }) => path.startsWith('src/') && /\bJSON\.parse\(/.test(text));
  t.same(
    own.map(({ path }) => path),
    ['src/base/schema.ts'],
    'use readJson of src/base/schema.ts: its errors name path and expected type',
  );
});

t.test('the checks find what they look for', async t => {
  const file = (path: string, text: string): SourceFile => ({ path, text });
  t.same(doubled([file('a.ts', 'export interface Link {\n}'), file('b.ts', 'export type Link = 1;')]), [
    'Link: a.ts, b.ts',
  ]);
  t.same(doubled([file('a.ts', 'export interface Link {}'), file('b.ts', 'interface Link {}')]), []);
  const hot = '/** @hot */\nexport function f(): number {\n  if (a) {\n    b[0]!;\n  }\n}\n';
  t.same(assertedIndexes(file('a.ts', hot)), []);
  t.same(assertedIndexes(file('a.ts', `${hot}const x = a[0]!;`)), ['a.ts:7: const x = a[0]!;']);
  t.same(assertedIndexes(file('a.ts', 'function f() {\n  return a[i]!;\n}')).length, 1);
});
