import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { type HotModule, hotFunctions } from './checks/hot-rules.ts';
import { ROOT, sourcesBelow } from './checks/sources.ts';

const sources = ['encap', 'src']
  .flatMap(folder => sourcesBelow(folder, ['.ts']))
  .filter(({ path }) => !path.endsWith('.d.ts'));
const modules = new Map<string, HotModule>();
for (const { path } of sources) {
  const compiled = join('dist', path.replace(/\.ts$/, '.js'));
  if (existsSync(join(ROOT, compiled)))
    modules.set(compiled, hotFunctions(readFileSync(join(ROOT, compiled), 'utf8')));
}
const marked = [...modules].filter(([, module]) => module.functions.length + module.stray > 0);

t.test('functions on the hot path keep its rules', async t => {
  const functions = marked.flatMap(([path, module]) => module.functions.map(found => ({ path, ...found })));
  t.ok(functions.length > 20, `${functions.length} functions in ${marked.length} files`);
  t.same(
    functions.flatMap(({ path, faults }) => faults.map(fault => `${path}: ${fault}`)),
    [],
  );
});

t.test('what is hot calls only what is hot', async t => {
  const isHot = (path: string, name: string) =>
    modules.get(path)?.functions.some(found => found.name === name) ?? false;
  const cold = marked.flatMap(([path, module]) =>
    module.functions.flatMap(({ name, calls }) =>
      calls
        .filter(called => {
          const [exported, from] = module.imported.get(called) ?? [called, undefined];
          return !isHot(from === undefined ? path : normalize(join(dirname(path), from)), exported);
        })
        .map(called => `${path}: ${name} calls ${called}, which is not marked @hot`),
    ),
  );
  t.same(cold, []);
});

t.test('every mark is before a function, and none was lost in compiling', async t => {
  for (const [path, module] of marked) t.equal(module.stray, 0, path);
  const written = sources.flatMap(({ text }) => [
    ...text.matchAll(/\/\*\*(?:(?!\*\/)[\s\S])*?@hot\s*(?:\n|\*\/)/g),
  ]).length;
  t.equal(
    marked.reduce((sum, [, module]) => sum + module.functions.length, 0),
    written,
    'build before testing',
  );
});

t.test('no promise and no event emitter in a file of the path that is hot', async t => {
  const hot = sources.filter(
    ({ path, text }) =>
      /^src\/dataplane\/(fast-path|slow-path|worker)/.test(path) && /@hot\s*(\n|\*\/)/.test(text),
  );
  t.ok(hot.length > 0);
  const words = /\b(Promise|EventEmitter|async|await|queueMicrotask|setImmediate|setTimeout|node:events)\b/;
  const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
  t.same(
    hot.filter(({ text }) => words.test(code(text))).map(({ path }) => path),
    [],
  );
});

const VIOLATIONS: readonly (readonly [string, RegExp])[] = [
  ['return new Int32Array(4);', /new/],
  ['return { a };', /object/],
  ['return [a];', /array/],
  ['return a.map(x => x);', /closure/],
  ['const f = function () {};', /closure/],
  ['function inner() {}', /closure/],
  ['return g(...a);', /spreads/],
  ['return `x`;', /string/],
  ["return a + 'x';", /joins/],
  ["a += 'x';", /joins/],
  ['try { g(a); } catch {}', /catches/],
  ['throw a;', /throws/],
  ['for (const x of a) g(x);', /for-of/],
  ['for (const x in a) g(x);', /for-in/],
  ['const { b = 1 } = a;', /destructures/],
  ['const { b: { c } } = a;', /destructures/],
  ['const { ...b } = a;', /rest/],
  ['const [b] = a;', /destructures/],
  ['return /x/.test(a);', /regular/],
  ['return arguments[0];', /arguments/],
  ['return a + 1n;', /BigInt/],
  ['delete a.b;', /deletes/],
  ['return a();', /neither declared nor imported/],
  ['return a.slice(0);', /method slice/],
  ['return a.getBigInt64(0);', /method getBigInt64/],
  ['return a[0]();', /only the run/],
  ['return a?.fill(0);', /only the run/],
  ['return a.b.c(0);', /method c/],
];

t.test('the check finds what it looks for', async t => {
  const judge = (body: string) =>
    hotFunctions(`function g() {}\n/** Text. @hot */\nexport function f(a) { ${body} }`);
  for (const [body, fault] of VIOLATIONS) t.match(judge(body).functions[0]?.faults.join('; '), fault, body);
  t.same(hotFunctions('/** @hot */\nasync function f() {}').functions[0]?.faults, [
    'f is async or a generator',
  ]);
  t.match(hotFunctions('/** @hot */\nfunction f({ a }) {}').functions[0]?.faults.join(), /plain parameters/);
  t.match(hotFunctions('/** @hot */\nfunction f(...a) {}').functions[0]?.faults.join(), /rest/);
  t.equal(hotFunctions('/** @hot */\nconst f = () => 0;').stray, 1);
  t.equal(hotFunctions('/** speaks of `@hot` functions */\nfunction f() { throw 1; }').functions.length, 0);
  const good =
    'const h = g; const { b, c: d } = a; a.fill(0); a.setInt32(0, Math.imul(a.getUint8(1), 3)); native.send(a); x.native.send(a); ' +
    'for (let i = 0; i < a.length; i++) h(i); return Atomics.load(a, 0) + g(a);';
  t.same(judge(good).functions, [{ name: 'f', faults: [], calls: ['g'] }]);
});
