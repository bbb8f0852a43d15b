import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from '../../bench/lab/tool.ts';

/*
 * The addon once more, with address and undefined-behaviour sanitizers: the same sources, the same tests, every byte
 * out of place an abort.
 */

const NATIVE = join(CHECKOUT, 'src/native');
const BINARY = join(NATIVE, 'build/Sanitize/ripstop.node');

/** Where node_api.h is: node-gyp wrote down which headers it built with. */
function headers(): string {
  const config = readFileSync(join(NATIVE, 'build/config.gypi'), 'utf8');
  const folder = /"nodedir": "([^"]+)"/.exec(config)?.[1];
  if (!folder) throw new Error('build/config.gypi names no nodedir; build the addon first (npm run build)');
  return join(folder, 'include/node');
}

/** Builds it when a source is newer. Throws with the compiler's words. */
export function buildSanitized(): void {
  const all = ['.', 'offload']
    .flatMap(folder => readdirSync(join(NATIVE, folder)).map(name => join(folder, name)))
    .filter(name => /\.(cc|h)$/.test(name))
    .map(name => join(NATIVE, name));
  const newest = Math.max(...all.map(file => statSync(file).mtimeMs));
  if (existsSync(BINARY) && statSync(BINARY).mtimeMs > newest) return;
  mkdirSync(join(NATIVE, 'build/Sanitize'), { recursive: true });
  const flags = [
    '-std=c++17',
    '-O1',
    '-g',
    '-fPIC',
    '-shared',
    '-fno-omit-frame-pointer',
    '-DNAPI_VERSION=8',
  ];
  const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-Wall', '-Wextra', '-Werror'];
  const sources = all.filter(file => file.endsWith('.cc'));
  const partial = `${BINARY}.${process.pid}`;
  const built = spawnSync('g++', [...flags, ...checks, `-I${headers()}`, '-o', partial, ...sources], {
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`the sanitized addon does not build: ${built.stderr}`);
  renameSync(partial, BINARY);
}

/** Environment of a Node that loads it. Leaks are not asked for: V8 keeps what it has until the process ends. */
export function sanitizedEnvironment(): NodeJS.ProcessEnv {
  const library = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim();
  return {
    ...process.env,
    RIPSTOP_NATIVE: 'Sanitize',
    LD_PRELOAD: library,
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1:handle_segv=0',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
}
