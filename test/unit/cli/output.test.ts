import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));

/** Runs a command whose output no process reads, or whose output goes to a file descriptor. */
async function run(words: readonly string[], stdout: 'pipe' | number) {
  // Without the hook of the test runner, which takes most of the time.
  const env = { ...process.env, NODE_OPTIONS: '' };
  const child = spawn(process.execPath, [MAIN, ...words], { env, stdio: ['ignore', stdout, 'pipe'] });
  child.stdout?.destroy();
  const [[code], stderr] = await Promise.all([once(child, 'close'), text(child.stderr!)]);
  return { code, stderr };
}

t.test('a closed pipe ends a command without an error', async t => {
  for (const words of [['explain'], ['--help']])
    t.strictSame(await run(words, 'pipe'), { code: 0, stderr: '' }, words.join(' '));
});

t.test('output that cannot be written is an error of one line', async t => {
  t.match(await run(['explain'], openSync('/dev/full', 'w')), {
    code: 1,
    stderr: /^ripstop: standard output: ENOSPC.*\n$/,
  });
});
