import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { ROOT, sourcesBelow } from '../checks/sources.ts';
import { index, readDecision } from './generated/decisions.ts';
import { withGenerated } from './generated/part.ts';

const LINES_MAX = 40;
const INDEX = join(ROOT, 'docs/decisions/README.md');

const files = sourcesBelow('docs/decisions', ['.md']).filter(({ path }) => basename(path) !== 'README.md');

t.test('decisions, head: number, title, status and date; each number is used once', async t => {
  const numbers = files.map(file => readDecision(file).number);
  t.ok(numbers.length > 40);
  t.same(
    numbers.filter((number, place) => numbers.indexOf(number) !== place),
    [],
  );
  const text = '# 0001: title\n\nStatus: accepted · 2026-01-02\n\nText.\n';
  t.throws(() => readDecision({ path: 'docs/decisions/0002-title.md', text }), /has the number 0001/);
  t.throws(
    () => readDecision({ path: '0001-title.md', text: text.replace('accepted', 'good') }),
    /must begin/,
  );
});

t.test('decisions, index: docs/decisions/README.md lists all of them', async t => {
  const page = readFileSync(INDEX, 'utf8');
  const wanted = withGenerated(page, index(files.map(readDecision)));
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(INDEX, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/decisions.test.js writes it');
});

t.test('decisions, length: none is longer than the limit', async t => {
  const long = files.filter(({ text }) => text.split('\n').length - 1 > LINES_MAX);
  t.same(
    long.map(({ path }) => path),
    [],
  );
});

t.test('documents, named in sources: each is there', async t => {
  // The guards themselves have invented names in their examples.
  const sources = ['src', 'encap', 'bench', 'test']
    .flatMap(folder => sourcesBelow(folder, ['.ts', '.c', '.cc', '.h']))
    .filter(({ path }) => !path.startsWith('test/guard/'));
  const exists = (reference: string) =>
    /^docs\/decisions\/\d{4}$/.test(reference)
      ? files.some(({ path }) => path.startsWith(`${reference}-`))
      : existsSync(join(ROOT, reference));
  const missing = sources.flatMap(({ path, text }) =>
    [
      ...text.matchAll(
        /\b(?:docs\/decisions\/\d{4}[-\w]*(?:\.md)?|(?:docs|bench\/results)\/[-\w/]+\.(?:md|yml|json))/g,
      ),
    ]
      .map(([reference]) => reference)
      .filter(reference => !exists(reference) && !exists(`${reference}.md`))
      .map(reference => `${path}: ${reference}`),
  );
  t.same(missing, []);
});
