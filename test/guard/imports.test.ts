import t from 'tap';
import { cyclesIn, type Import, importFault, importsOf } from './checks/import-rules.ts';
import { sourcesBelow } from './checks/sources.ts';

const files = ['encap', 'src', 'bench', 'test'].flatMap(folder => sourcesBelow(folder, ['.ts', '.tsx']));
const imports = files.flatMap(importsOf);

t.test('imports between folders, compared with the table, are all in it', async t => {
  t.ok(imports.length > 100, `${imports.length} imports of ${files.length} files`);
  t.same([...new Set(imports.map(importFault).filter(Boolean))], []);
});

t.test('no file imports itself through others', async t => {
  t.same(cyclesIn(imports), []);
});

t.test(
  'what the web UI imports of its server and of base imports nothing itself, as it runs in a browser',
  async t => {
    const served = imports
      .filter(({ from, target }) => from.startsWith('src/web/') && /^src\/(api|base)\//.test(target ?? ''))
      .map(({ target }) => target);
    t.ok(served.length > 0);
    t.same(
      imports
        .filter(({ from }) => served.includes(from))
        .map(({ from, specifier }) => `${from}: ${specifier}`),
      [],
    );
  },
);

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
  t.match(fault('src/dataplane/tables/a.ts', 'src/net/b.ts'), /tables may not import src\/net\/b\.ts/);
  t.match(fault('src/dataplane/fast-path/a.ts', 'src/dataplane/worker.ts'), /may not import/);
  t.match(fault('src/dataplane/io/a.ts', 'src/dataplane/fast-path/b.ts'), /may not import/);
  t.equal(fault('src/dataplane/fast-path/a.ts', 'src/dataplane/io/interfaces.ts'), undefined);
  t.equal(fault('src/agent/a.ts', 'src/dataplane/dataplane.ts'), undefined);
  t.match(fault('src/agent/a.ts', 'src/dataplane/tables/fdb.ts'), /agent may not import/);
  t.equal(fault('src/agent/kernel/a.ts', 'src/agent/lease/b.ts'), undefined);
  t.equal(fault('src/web/a.ts', 'src/api/web/messages.ts'), undefined);
  t.match(fault('src/web/a.ts', 'src/api/server.ts'), /web may not import/);
  t.match(fault('src/base/a.ts', 'test/fixtures/lab.ts'), /base may not import/);
  t.equal(fault('src/index.ts', 'src/capture/format/open.ts'), undefined);
  t.match(fault('src/index.ts', 'src/agent/agent.ts'), /src may not import/);
  t.match(fault('src/agent/a.ts', 'src/index.ts'), /agent may not import/);
  t.match(fault('src/drawer/a.ts', 'src/base/errors.ts'), /no row/);
  t.match(importFault({ from: 'encap/a.ts', specifier: 'node:fs', target: undefined }), /pure/);
  t.equal(fault('bench/a.ts', 'src/dataplane/worker.ts'), undefined);
  const edge = (from: string, target: string): Import => ({ from, specifier: target, target });
  t.same(cyclesIn([edge('a', 'b'), edge('b', 'c'), edge('c', 'b'), edge('a', 'c')]), ['b -> c -> b']);
  t.same(cyclesIn([edge('a', 'b'), edge('a', 'c'), edge('b', 'c')]), []);
});
