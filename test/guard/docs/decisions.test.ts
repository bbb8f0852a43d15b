import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { ROOT, sourcesBelow } from '../checks/sources.ts';

const LINES_MAX = 40;
/** Written before the limit. */
const OLDER = ['0006', '0008'];

const decisions = sourcesBelow('docs/decisions', ['.md']);
const numberOf = (path: string) => basename(path).slice(0, 4);

t.test('decisions, numbers: each is used once, and the heading has it', async t => {
  const numbers = decisions.map(({ path }) => numberOf(path));
  t.same(
    numbers.filter((number, index) => numbers.indexOf(number) !== index),
    [],
  );
  const other = decisions.filter(({ path, text }) => !text.startsWith(`# ${numberOf(path)}`));
  t.same(
    other.map(({ path }) => path),
    [],
  );
});

t.test('decisions, length: none is longer than the limit', async t => {
  const long = decisions.filter(
    ({ path, text }) => text.split('\n').length - 1 > LINES_MAX && !OLDER.includes(numberOf(path)),
  );
  t.same(
    long.map(({ path }) => path),
    [],
  );
});

t.test('decisions, named in sources: each is there', async t => {
  const sources = ['src', 'encap', 'bench', 'test'].flatMap(folder =>
    sourcesBelow(folder, ['.ts', '.c', '.cc', '.h']),
  );
  const missing = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/docs\/decisions\/(\d{4}[-\w]*)(\.md)?/g)]
      .filter(([, name, ending]) =>
        ending
          ? !existsSync(join(ROOT, `docs/decisions/${name}.md`))
          : !decisions.some(decision => basename(decision.path).startsWith(`${name}-`)),
      )
      .map(([reference]) => `${path}: ${reference}`),
  );
  t.same(missing, []);
});
