/*
 * `npm run watch [-- PATHPART…]`: compiles while files are edited, and reruns the tests that the edited files reach
 * through imports. Without a PATHPART only the tests that need no root are rerun.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, watch } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { CHECKOUT } from '../../bench/lab/tool.ts';

const DIST = join(CHECKOUT, 'dist');
/** The compiler writes many files one after the other; the tests start after it has been quiet for this long. */
const QUIET_MS = 300;
const IMPORT = /(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+\.js)'/g;

/** Compiled modules and the modules that import them. */
function importersOf(): Map<string, string[]> {
  const importers = new Map<string, string[]>();
  for (const name of readdirSync(DIST, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js')) continue;
    const file = join(DIST, name);
    for (const [, target] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
      const imported = resolve(dirname(file), target ?? '');
      importers.set(imported, [...(importers.get(imported) ?? []), file]);
    }
  }
  return importers;
}

/** The test files that import one of `changed`, directly or through others, as the suite names them. */
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
  const wanted = (test: string) => (asked.length > 0 ? asked : ['unit/']).some(part => test.includes(part));
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
      process.stdout.write(`no test of ${asked.join(' ') || 'unit/'} imports what changed\n`);
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
