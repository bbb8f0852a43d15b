import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { logText } from '../../../src/base/logging/stream.ts';
import { ROOT } from '../../guard/checks/sources.ts';

const MODULE = pathToFileURL(join(ROOT, 'dist/src/base/log.js')).href;

/** What a program that logs writes to standard error. */
function run(t: Test, program: string, environment?: (stderr: number) => NodeJS.ProcessEnv): string {
  const file = join(t.testdir(), 'stderr');
  const fd = openSync(file, 'w');
  const text = `import { componentLog, createLog, logLevels, recentLines, setLogLevels } from '${MODULE}';\n${program}`;
  const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    stdio: ['ignore', 'ignore', fd],
    env: { ...process.env, ...environment?.(fd) },
  });
  closeSync(fd);
  t.equal(status, 0);
  return readFileSync(file, 'utf8');
}

const entries = (text: string) =>
  text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);

t.test('a log that a program reads is JSON, one object per line', async t => {
  const [entry] = entries(run(t, "createLog().warn({ peer: 'node2' }, 'peer is silent')"));
  t.match(entry, { level: 'warn', peer: 'node2', msg: 'peer is silent', time: /^\d{4}-\d\d-\d\dT/ });
});

t.test('control characters in a log that a program reads (H17): escaped, and the value stays', async t => {
  const text = run(t, "createLog().warn({ peer: '\\u009b2J' }, 'lease \\u202etxt')");
  t.notMatch(text.trimEnd(), /[\p{Cc}\u202e]/u);
  t.match(entries(text)[0], { peer: '\u009b2J', msg: 'lease \u202etxt' });
});

t.test('a log that a person reads is text: on request, and in the journal', async t => {
  const program = (format: string) =>
    `componentLog(createLog('info', '${format}'), 'store').warn({ endpoint: 'e1', tries: 2 }, 'no answer')`;
  const wanted = /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}store: no answer \(endpoint=e1 tries=2\)\n$/;
  t.match(run(t, program('text')), wanted);
  const inJournal = (fd: number) => {
    const { dev, ino } = fstatSync(fd);
    return { JOURNAL_STREAM: `${dev}:${ino}` };
  };
  t.match(run(t, program('auto'), inJournal), wanted);
  t.match(run(t, program('json'), inJournal), /^\{/);
});

t.test('a component has its own level, and levels change while the program runs', async t => {
  const text = run(
    t,
    `const log = createLog('warn,store=debug');
    const store = componentLog(log, 'store');
    log.info('a'); store.debug('b'); store.trace('c');
    setLogLevels(log, 'info', 'levels');
    log.info('d'); store.debug('e'); store.info(logLevels(store));`,
  );
  t.same(
    entries(text).map(({ component, msg }) => [component, msg]),
    [
      ['store', 'b'],
      [undefined, 'd'],
      ['store', 'info'],
    ],
  );
});

t.test('wrong levels are refused, and the present ones stay', async t => {
  const text = run(
    t,
    `const log = createLog('warn');
    for (const wrong of ['loud', 'info,stor=debug', 'info,store=', 'store=debug=x']) {
      try { setLogLevels(log, wrong, 'levels'); } catch (error) { log.warn(\`\${error.code}: \${error.message}; \${error.hint}\`); }
    }
    log.warn(logLevels(log));`,
  );
  t.match(
    entries(text).map(({ msg }) => msg),
    [
      /^ECONFIG: levels: "loud" is not one of trace, debug, .*; undefined/,
      /^ECONFIG: levels: "stor" is not one of agent, api, .*; did you mean "store"\?/,
      /^ECONFIG: levels: "" is not one of trace, /,
      /^ECONFIG: levels: "debug=x" is not one of trace, /,
      'warn',
    ],
  );
});

/** Message, peer and number of repetitions of each line, without fillers. */
const counted = (text: string) =>
  entries(text).flatMap(({ msg, peer, repeated }) =>
    String(msg).startsWith('other') ? [] : [[msg, peer ?? null, repeated ?? null]],
  );

t.test('a warning that is repeated: printed once, then counted', async t => {
  const text = run(
    t,
    `const log = createLog();
    for (let i = 0; i < 5; i++) { log.warn({ peer: 1 }, 'silent'); componentLog(log, 'store').info('here'); }
    log.warn({ peer: 2 }, 'silent');
    // As many messages as are remembered: the first is forgotten, and its repetitions are printed.
    for (let i = 0; i < 255; i++) log.warn('other ' + i);`,
  );
  t.same(counted(text), [
    ['silent', 1, null],
    ...Array.from({ length: 5 }, () => ['here', null, null]),
    ['silent', 2, null],
    ['silent', 1, 4],
  ]);
});

t.test('an information of the same component after repetitions: their number comes before it', async t => {
  const text = run(
    t,
    `const log = createLog();
    for (let turn = 0; turn < 2; turn++) {
      for (let i = 0; i < 3; i++) log.warn('silent');
      log.info('answers');
    }`,
  );
  const turn = [
    ['silent', null, null],
    ['silent', null, 2],
    ['answers', null, null],
  ];
  t.same(counted(text), [...turn, ...turn]);
});

t.test('repetitions that are not printed when the process ends: printed then', async t => {
  const text = run(t, "const log = createLog(); for (let i = 0; i < 3; i++) log.error('failed');");
  t.same(counted(text), [
    ['failed', null, null],
    ['failed', null, 2],
  ]);
});

t.test('errors as fields: different ones are not counted as one', async t => {
  const text = run(
    t,
    `const log = createLog();
    for (const what of ['first', 'second']) log.warn({ err: new Error(what), size: 1n }, 'failed');`,
  );
  t.match(
    entries(text).map(({ err }) => err),
    [{ message: 'first' }, { message: 'second' }],
  );
});

t.test(
  'values in a line of text: quoted, and unable to begin another line or to reach the terminal',
  async t => {
    const line = (entry: object) => logText(JSON.stringify({ level: 'warn', time: 'T', ...entry }));
    t.equal(line({ msg: 'away', tries: 2, where: 'a b' }), 'T WARN  away (tries=2 where="a b")\n');
    t.equal(
      line({ msg: 'x\nT ERROR forged', err: 'a\n\x1b[2J' }),
      'T WARN  x\\u000aT ERROR forged (err="a\\n\\u001b[2J")\n',
    );
    t.equal(
      line({ component: 'store', msg: 'away', list: ['(', 1] }),
      'T WARN  store: away (list=["(",1])\n',
    );
  },
);

t.test('the last lines of a log are kept as text, within bounds', async t => {
  const text = run(
    t,
    `const log = createLog('info', 'json');
    for (let n = 0; n < 3000; n++) log.info({ n }, 'line');
    const many = recentLines(log);
    log.info('x'.repeat(600_000));
    const after = recentLines(log).length;
    componentLog(log, 'store').info('last');
    console.error(JSON.stringify({ count: many.length, first: many[0], after, last: recentLines(log) }));`,
  );
  t.match(entries(text).at(-1), {
    count: 2000,
    first: /^\d{4}-\S+Z INFO {2}line \(n=1000\)$/,
    after: 0,
    last: [/Z INFO {2}store: last$/],
  });
});
