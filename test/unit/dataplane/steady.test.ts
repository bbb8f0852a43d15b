import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';

/** Bound for what the marks and the measurement allocate themselves. One byte per frame would be a megabyte. */
const GARBAGE_BYTES = 50_000;

/** The same per frame while stages are timed: V8 boxes some readings of the clock of a batch, which has sixteen frames. */
const TIMED_BYTES = 6;

/**
 * With `--single-threaded` V8 optimises a function on the thread that runs it, after a number of calls. By default another
 * thread does, and on a busy machine the marked part would begin before its code is ready, and allocate meanwhile.
 */
const V8_FLAGS = ['--single-threaded', '--expose-gc', '--trace-gc', '--trace-deopt'];

/** What V8 printed between the marks. */
function between(...args: string[]): { lines: string[]; carried: number; grown: number } {
  const script = join(CHECKOUT, 'dist/test/fixtures/io/steady-state.js');
  const run = spawnSync(process.execPath, [...V8_FLAGS, script, ...args], {
    encoding: 'utf8',
    timeout: 600_000,
  });
  const lines = run.stdout.split('\n');
  const begin = lines.indexOf('MARK begin');
  const end = lines.indexOf('MARK end');
  if (run.status !== 0 || begin < 0 || end < 0) throw new Error(`the run failed: ${run.stderr.slice(-2000)}`);
  const [, carried, grown] = /carried (\d+) grown (-?\d+)/.exec(run.stdout) ?? [];
  return { lines: lines.slice(begin + 1, end), carried: Number(carried), grown: Number(grown) };
}

const isCollection = (line: string) => /Scavenge|Mark-Compact|Minor/.test(line);
const isDeoptimisation = (line: string) => /deoptimizing|bailout/.test(line);

t.test('a million frames: no collection, no deoptimisation', t => {
  const { lines, carried, grown } = between();
  t.ok(carried >= 1_000_000, `${carried} frames carried`);
  t.strictSame(lines.filter(isCollection), [], 'collections');
  t.ok(grown < GARBAGE_BYTES, `heap grew by ${grown} bytes`);
  t.strictSame(lines.filter(isDeoptimisation), [], 'deoptimisations');
  t.end();
});

t.test('a million frames whose stages are timed: some numbers per batch, nothing per frame', t => {
  const { lines, carried, grown } = between('timed');
  t.ok(carried >= 1_000_000, `${carried} frames carried`);
  t.ok(grown < carried * TIMED_BYTES, `heap grew by ${grown} bytes`);
  t.strictSame(lines.filter(isDeoptimisation), [], 'deoptimisations');
  t.end();
});

t.test('garbage would be seen', t => {
  const { grown } = between('leak');
  t.ok(grown > 10 * GARBAGE_BYTES, `one small object per batch is ${grown} bytes`);
  t.end();
});
