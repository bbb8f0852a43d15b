/*
 * Runs the test files that TEST_FILES names one after the other in this process, each as a subtest. The next file starts when
 * nothing of the one before is left that would keep a process running. A file that leaves something, or changes the process
 * for those after it, fails.
 */
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';

/** For what ends by itself, such as a connection that both ends have closed. */
const LEFT_SECONDS = Number(process.env.TEST_LEFT_SECONDS ?? 60);

/** The subtest of the file that runs. */
let own: Test | undefined;
let onEmptyLoop: (() => void) | undefined;

process.on('beforeExit', () => {
  if (onEmptyLoop) return onEmptyLoop();
  // The teardowns of the file run in another turn of the loop.
  own?.fail('the file waits for something that cannot happen');
  own?.endAll();
  setImmediate(() => {});
});

/** Resolves when nothing keeps the process running. */
function emptyLoop(): Promise<void> {
  return new Promise((resolve, reject) => {
    onEmptyLoop = resolve;
    const left = () => `still open: ${process.getActiveResourcesInfo().join(', ')}`;
    setTimeout(() => reject(new Error(left())), LEFT_SECONDS * 1000).unref();
  });
}

/** What a file could change for the files after it. */
const processState = (): Record<string, unknown> => ({
  ...process.env,
  'working directory': process.cwd(),
  'exit code': process.exitCode,
  umask: process.umask(),
});

async function check(before: Record<string, unknown>): Promise<void> {
  await emptyLoop();
  const after = processState();
  const names = Object.keys({ ...before, ...after }).filter(name => before[name] !== after[name]);
  if (names.length > 0) throw new Error(`changed for the files after it: ${names.join(', ')}`);
}

const files = (process.env.TEST_FILES ?? '').split(' ');
t.plan(files.length);
for (const file of files) {
  const { href } = pathToFileURL(file);
  void t.test(file, async test => {
    own = test;
    const before = processState();
    // Runs after the teardowns of the file. What it finds would make the files after it fail as well.
    test.teardown(() =>
      check(before)
        .catch(error => {
          process.stdout.write(`# ${error.message}\n`);
          process.exit(1);
        })
        .finally(() => (own = onEmptyLoop = undefined)),
    );
    await import(href);
  });
}

// What files import from tap is the root of the process. A method of it acts on the test that it is bound to.
Object.setPrototypeOf(
  t,
  new Proxy(Object.getPrototypeOf(t), {
    get(root, name) {
      const value = Reflect.get(own ?? root, name);
      return typeof value === 'function' ? value.bind(own ?? t) : value;
    },
  }),
);
