import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { STATS_AT, VERDICT_NUMBERS, WORKER_STATS } from '../../../src/dataplane/descriptor/counters.ts';
import * as verdicts from '../../../src/dataplane/descriptor/verdicts.ts';
import { ROOT, sourcesBelow } from '../checks/sources.ts';
import * as parts from './generated/metrics.ts';
import { rendered, withGenerated } from './generated/part.ts';

const PAGE = join(ROOT, 'docs/reference/metrics.md');
const { VERDICTS } = verdicts;

t.test('docs/reference/metrics.md lists what is counted, no more and no less', async t => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = withGenerated(withGenerated(page, parts.verdicts), parts.metrics);
  if (process.env.UPDATE_DOCS === '1' && wanted !== page) writeFileSync(PAGE, wanted);
  else t.equal(page, wanted, 'UPDATE_DOCS=1 node dist/test/guard/docs/metrics.test.js writes it');
  const listed = [...wanted.matchAll(/^\| `([a-z-]+)` \|/gm)].map(match => match[1]);
  for (const { name } of VERDICTS) t.ok(listed.includes(name), name);
});

t.test('the number of a verdict is its place in the list', async t => {
  const numbers = Object.entries(verdicts).filter(([, value]) => typeof value === 'number') as [
    string,
    number,
  ][];
  for (const [name, number] of numbers)
    t.equal(VERDICTS[number]?.name, name.toLowerCase().replaceAll('_', '-'));
  t.equal(numbers.length, VERDICTS.length);
  t.ok(VERDICTS.length * VERDICT_NUMBERS <= STATS_AT, 'a block of counters has room for all');
  t.equal(new Set(VERDICTS.map(({ name }) => name)).size, VERDICTS.length);
});

t.test('every worker statistic is counted somewhere', async t => {
  const path = sourcesBelow('src/dataplane', ['.ts']).map(({ text }) => text);
  for (const { name } of WORKER_STATS) {
    const constant = name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase();
    const counted = new RegExp(`(add|max)Stat\\([^;]*\\b${constant}\\b`);
    t.ok(
      path.some(text => counted.test(text)),
      constant,
    );
  }
});

t.test('verdicts: each has a meaning, and each drop a remedy', async t => {
  for (const { name, drop, meaning, remedy } of VERDICTS)
    t.ok(meaning !== '' && (!drop || remedy !== ''), name);
});

t.test('the check finds what it looks for', async t => {
  const page = `before\n${rendered(parts.verdicts)}\nbetween\n${rendered(parts.metrics)}\nafter\n`;
  t.equal(withGenerated(page, parts.verdicts), page);
  t.equal(withGenerated(page.replace('`runt`', '`stunt`'), parts.verdicts), page);
  t.equal(withGenerated(page.replace('`ripstop_ready`', '`ripstop_red`'), parts.metrics), page);
  t.throws(() => withGenerated(page.replace('src/api/metrics.ts', ''), parts.metrics), /lost its marks/);
});
