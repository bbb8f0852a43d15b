import t from 'tap';
import { cyclesIn, type Import, importFault, importsOf, roomOf, WIRING } from './import-rules.ts';
import { sourcesBelow } from './sources.ts';

const files = ['encap', 'src', 'bench', 'test'].flatMap(folder => sourcesBelow(folder, ['.ts', '.tsx']));
const imports = files.flatMap(importsOf);

t.test('rooms import only what the design lets them', async t => {
  t.ok(imports.length > 100, `${imports.length} imports of ${files.length} files`);
  t.same(imports.map(importFault).filter(Boolean), []);
});

t.test('no file imports itself through others', async t => {
  t.same(cyclesIn(imports), []);
});

t.test('what only wiring may import stays out of the hot loops', async t => {
  const hot = files.filter(({ path, text }) => path in WIRING && /@hot\b/.test(text));
  t.same(
    hot.map(({ path }) => path),
    [],
  );
  const needless = Object.entries(WIRING).flatMap(([path, rooms]) =>
    rooms.filter(
      room =>
        !imports.some(({ from, target }) => from === path && target !== undefined && roomOf(target) === room),
    ),
  );
  t.same(needless, [], 'an exception that nobody needs is taken away');
});

t.test('every relative import leads to a file', async t => {
  const paths = new Set(files.map(file => file.path));
  const lost = imports.filter(
    ({ target }) => target !== undefined && /\.tsx?$/.test(target) && !paths.has(target),
  );
  t.same(
    lost.map(({ from, specifier }) => `${from}: ${specifier}`),
    [],
  );
});

t.test('the check finds what it looks for', async t => {
  // Quotes are put in afterwards, so that this file does not seem to import all that.
  const text = [
    'import { a } from Q../base/errors.tsQ;',
    'import type { B } from Q../net/links.tsQ;',
    'import {\n  c,\n  type D,\n} from Q../x.tsQ;',
    'export * from Q../agent/client.tsQ;',
    'const e = await import(Q../cni/main.tsQ);',
    'new Worker(new URL(Q../slow/answer.jsQ, import.meta.url));',
    '// import { no } from Q../no.tsQ;',
    '/* import { no } from Q../no.tsQ; */',
    'import Qnode:fsQ;',
  ]
    .join('\n')
    .replaceAll('Q', "'");
  const found = importsOf({ path: 'src/shm/x.ts', text });
  t.same(found.map(({ target, specifier }) => target ?? specifier).sort(), [
    'node:fs',
    'src/agent/client.ts',
    'src/base/errors.ts',
    'src/cni/main.ts',
    'src/net/links.ts',
    'src/slow/answer.ts',
    'src/x.ts',
  ]);
  const fault = (from: string, target: string) => importFault({ from, specifier: target, target });
  t.match(fault('src/shm/a.ts', 'src/net/links.ts'), /shm may not import net\/links\.ts/);
  t.match(fault('src/path/a.ts', 'src/io/tun.ts'), /path may not import io\/tun\.ts/);
  t.equal(fault('src/path/a.ts', 'src/io/seams.ts'), undefined);
  t.match(fault('src/agent/a.ts', 'src/path/worker.ts'), /agent may not import/);
  t.match(fault('src/base/a.ts', 'test/support/lab.ts'), /base may not import/);
  t.match(fault('src/drawer/a.ts', 'src/base/errors.ts'), /no room/);
  t.match(importFault({ from: 'encap/a.ts', specifier: 'node:fs', target: undefined }), /pure/);
  t.equal(fault('bench/a.ts', 'src/path/worker.ts'), undefined);
  const edge = (from: string, target: string): Import => ({ from, specifier: target, target });
  t.same(cyclesIn([edge('a', 'b'), edge('b', 'c'), edge('c', 'b'), edge('a', 'c')]), ['b -> c -> b']);
  t.same(cyclesIn([edge('a', 'b'), edge('a', 'c'), edge('b', 'c')]), []);
});
