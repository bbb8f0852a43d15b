import { spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { Parser, type Result } from 'tap-parser';
import { CHECKOUT } from '../../../bench/lab/tool.ts';

const GOOD = "t.test('good', async t => { t.ok(true); });";

/** Runs files with these texts in one process. @returns its exit code, its output, and `ok` or `not ok` for each file */
function run(t: Test, texts: Record<string, string>) {
  const entries = Object.entries(texts).map(([name, text]) => [name, `import t from 'tap';\n${text}`]);
  const folder = t.testdir(Object.fromEntries(entries));
  const { status, stdout } = spawnSync(process.execPath, [join(CHECKOUT, 'dist/test/runner/run-group.js')], {
    cwd: CHECKOUT,
    encoding: 'utf8',
    env: {
      ...process.env,
      TEST_FILES: entries.map(([name]) => join(folder, name!)).join(' '),
      TEST_LEFT_SECONDS: '1',
    },
  });
  const files = Parser.parse(stdout)
    .flatMap(([kind, value]) => (kind === 'assert' ? [value as Result] : []))
    .filter(({ name }) => name.endsWith('.mjs'))
    .map(({ ok, name }) => `${ok ? 'ok' : 'not ok'} ${basename(name, '.mjs')}`);
  return { status, stdout, files };
}

t.test('a file that fails, in any way: the others run, and the failure has its name', async t => {
  const { status, files } = run(t, {
    'first.mjs': GOOD,
    'fails.mjs': "t.test('fails', async t => { t.ok(false); });",
    'throws.mjs': "throw new Error('while it is loaded');",
    'later.mjs': "t.test('later', () => new Promise(() => setTimeout(() => { throw new Error('late'); })));",
    'rejects.mjs': "t.test('rejects', t => { Promise.reject(new Error('x')); setTimeout(() => t.end()); });",
    'waits.mjs': "t.test('waits', () => new Promise(() => {}));",
    'stands.mjs': 'await new Promise(() => {});',
    'missing.mjs': "import './none.mjs';",
    'last.mjs': GOOD,
  });
  t.strictSame(files, [
    ...['ok first', 'not ok fails', 'not ok throws', 'not ok later', 'not ok rejects', 'not ok waits'],
    ...['not ok stands', 'not ok missing', 'ok last'],
  ]);
  t.equal(status, 1);
});

t.test('hooks, teardowns and checks outside of a test belong to their file', async t => {
  const hooks = "t.beforeEach(() => console.log('# before')); t.teardown(() => console.log('# torn down'));";
  const { status, stdout, files } = run(t, {
    'one.mjs': `${hooks} t.ok(true, 'outside'); ${GOOD}`,
    'two.mjs': `${GOOD} t.equal(1, 2, 'outside');`,
    'three.mjs': GOOD,
  });
  t.strictSame(files, ['ok one', 'not ok two', 'ok three']);
  t.strictSame(
    stdout.match(/# (before|torn down|Subtest: .*two)/g)?.map(line => line.slice(0, 10)),
    [...['# before', '# torn dow', '# Subtest:']],
  );
  t.equal(status, 1);
});

t.test('a file that leaves something to those after it: it fails, and they do not run', async t => {
  const cases: [string, string][] = [
    ["import { createServer } from 'node:net'; createServer().listen(0);", '# still open: .*TCPServerWrap'],
    [
      "process.env.RIPSTOP_LEFT = '1'; process.chdir('/'); process.exitCode = 3;",
      '# changed for the files after it: working directory, exit code, RIPSTOP_LEFT',
    ],
  ];
  for (const [text, reason] of cases) {
    const { status, stdout, files } = run(t, { 'leaves.mjs': `${text} ${GOOD}`, 'next.mjs': GOOD });
    t.strictSame(files, ['not ok leaves', 'not ok next'], text);
    t.match(stdout, new RegExp(reason));
    t.not(status, 0);
  }
});
