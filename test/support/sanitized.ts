import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { CHECKOUT } from '../../bench/lab/tool.ts';

/*
 * The addon with address and undefined-behaviour sanitizers: the same sources, flags and tests, and every byte out of
 * place aborts.
 */

/** Builds it when a source is newer. Throws with the compiler's words. */
export function buildSanitized(): void {
  const bootstrap = join(CHECKOUT, '.ci/bootstrap.mjs');
  const built = spawnSync(process.execPath, [bootstrap, 'sanitize'], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the sanitized addon does not build: ${built.stderr}`);
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
