import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { ROOT } from '../../guard/checks/sources.ts';

const MODULE = pathToFileURL(join(ROOT, 'dist/src/base/log.js')).href;

/** What a program that logs writes to standard error. */
function run(t: Test, program: string, environment?: (stderr: number) => NodeJS.ProcessEnv): string {
  const file = join(t.testdir(), 'stderr');
  const fd = openSync(file, 'w');
  const text = `import { componentLog, createLog, logLevels, setLogLevels } from '${MODULE}';\n${program}`;
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
    setLogLevels(log, 'info');
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
    for (const wrong of ['loud', 'info,stor=debug', 'info,store=']) {
      try { setLogLevels(log, wrong); } catch (error) { log.warn(\`\${error.code}: \${error.message}; \${error.hint}\`); }
    }
    log.warn(logLevels(log));`,
  );
  t.match(
    entries(text).map(({ msg }) => msg),
    [
      /^ECONFIG: --log-level: unknown level "loud"; there are trace, /,
      /^ECONFIG: --log-level: unknown component "stor"; there are agent, /,
      /unknown level ""/,
      'warn',
    ],
  );
});

t.test('a repeated warning is printed once and then counted; information is printed each time', async t => {
  const text = run(
    t,
    `const log = createLog();
    for (let i = 0; i < 5; i++) { log.warn({ peer: 1 }, 'silent'); log.info('here'); }
    log.warn({ peer: 2 }, 'silent');
    // As many messages as are remembered: the first is forgotten, and its repetitions are printed.
    for (let i = 0; i < 255; i++) log.warn('other ' + i);`,
  );
  const shown = entries(text).filter(({ msg }) => !String(msg).startsWith('other'));
  t.same(
    shown.map(({ msg, peer, repeated }) => [msg, peer, repeated]),
    [
      ['silent', 1, undefined],
      ...Array.from({ length: 5 }, () => ['here', undefined, undefined]),
      ['silent', 2, undefined],
      ['silent', 1, 4],
    ],
  );
});
