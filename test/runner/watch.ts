/*
 * `npm run watch [-- PATHPART…]`: compiles while files are edited, and reruns the tests that the edited files reach
 * through imports, workers and child processes. Without a PATHPART only the tests that need no root are rerun.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, watch } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { CHECKOUT } from '../../bench/lab/tool.ts';

const DIST = join(CHECKOUT, 'dist');
/** The compiler writes many files one after the other; the tests start after it has been quiet for this long. */
const QUIET_MS = 300;
/** The tests of `npm run test:unit`. */
const DEFAULT_PARTS = ['unit/', 'vectors/'];
/** Static and dynamic imports, and modules that are started as a worker or as a process of their own. */
const USES = [
  /(?:from|import|new URL)\s*\(?\s*'(\.{1,2}\/[^']+\.js)'/g,
  /(?<=\$\{CHECKOUT\})(dist\/[^`$]+\.js)`/g,
];

/** The modules that the text of a compiled module uses. */
export function usedBy(file: string, text: string): string[] {
  const [imports, programs] = USES.map(pattern => [...text.matchAll(pattern)].map(([, path = '']) => path));
  return [
    ...imports!.map(path => resolve(dirname(file), path)),
    ...programs!.map(path => join(CHECKOUT, path)),
  ];
}

/** Compiled modules and the modules that use them. */
function importersOf(): Map<string, string[]> {
  const importers = new Map<string, string[]>();
  for (const name of readdirSync(DIST, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js')) continue;
    const file = join(DIST, name);
    for (const used of usedBy(file, readFileSync(file, 'utf8')))
      importers.set(used, [...(importers.get(used) ?? []), file]);
  }
  return importers;
}

/** The test files that use one of `changed`, directly or through others, as the suite names them. */
export function testsReachedBy(
  changed: Iterable<string>,
  importers: ReadonlyMap<string, string[]>,
): string[] {
  const reached = new Set(changed);
  for (const file of reached) for (const importer of importers.get(file) ?? []) reached.add(importer);
  return [...reached]
    .filter(file => file.endsWith('.test.js'))
    .map(file => relative(join(DIST, 'test'), file).replace(/\.test\.js$/, ''))
    .sort();
}

function main(): void {
  const asked = process.argv.slice(2);
  const parts = asked.length > 0 ? asked : DEFAULT_PARTS;
  const wanted = (test: string) => parts.some(part => test.includes(part));
  const changed = new Set<string>();
  const pending = new Set<string>();
  let suite: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;

  const restart = () => {
    clearTimeout(timer);
    timer = setTimeout(run, QUIET_MS);
  };
  const run = () => {
    // An interrupted run first removes what its tests have made.
    if (suite) return;
    const tests = testsReachedBy([...changed, ...pending], importersOf()).filter(wanted);
    if (tests.length === 0) {
      process.stdout.write(`no test of ${parts.join(' ')} uses what changed\n`);
      changed.clear();
      return;
    }
    suite = spawn(process.execPath, [join(DIST, 'test/runner/suite.js'), ...tests], { stdio: 'inherit' });
    const ran = [...changed, ...pending];
    changed.clear();
    pending.clear();
    suite.on('exit', code => {
      suite = undefined;
      // What failed, or was interrupted by the next edit, runs again with that edit.
      if (code !== 0) for (const file of ran) pending.add(file);
      if (changed.size > 0) restart();
    });
  };
  watch(DIST, { recursive: true }, (_event, name) => {
    if (!name?.endsWith('.js')) return;
    changed.add(join(DIST, name));
    suite?.kill('SIGTERM');
    restart();
  });
  const compiler = join(CHECKOUT, 'node_modules/typescript/bin/tsc');
  const tsc = spawn(process.execPath, [compiler, '-p', CHECKOUT, '--watch', '--preserveWatchOutput'], {
    stdio: 'inherit',
  });
  tsc.on('exit', code => process.exit(code ?? 1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tsc.kill(signal));
}

if (process.argv[1] === import.meta.filename) main();
