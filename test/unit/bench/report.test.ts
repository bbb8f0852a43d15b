import t from 'tap';
import { compareRuns, formatComparison } from '../../../bench/report/compare.ts';
import { formatHtml } from '../../../bench/report/html.ts';
import { joined } from '../../../bench/report/join.ts';
import { formatMarkdown } from '../../../bench/report/markdown.ts';
import { formatRun } from '../../../bench/report/table.ts';
import { workerCollections } from '../../../bench/soak/collections.ts';
import { mannWhitney, quantile, summarize } from '../../../src/measure/figures/statistics.ts';
import { seeded } from '../../fixtures/random.ts';
import { e2e, file, RUN } from './bench-file.ts';

t.test('median and range', async t => {
  t.equal(summarize([]), undefined);
  t.same(summarize([3, 1, 2]), { count: 3, median: 2, min: 1, max: 3 });
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.same(
    [quantile(hundred, 0.5), quantile(hundred, 0.99), quantile(hundred, 1), quantile([], 0.5)],
    [50, 99, 100, undefined],
  );
  t.same(summarize([4, 1, 2, 3]), { count: 4, median: 2.5, min: 1, max: 4 });
});

t.test('the rank test: known values, symmetric, as a count of all orders says', async t => {
  // Tables of the U distribution: 5 and 5 without overlap 2/252, 4 and 4 2/70, 3 and 3 2/20.
  t.ok(Math.abs(mannWhitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) - 2 / 252) < 1e-12);
  t.ok(Math.abs(mannWhitney([1, 2, 3, 4], [5, 6, 7, 8]) - 2 / 70) < 1e-12);
  t.ok(Math.abs(mannWhitney([1, 2, 3], [4, 5, 6]) - 2 / 20) < 1e-12);
  t.equal(mannWhitney([1, 2], []), 1);
  t.equal(mannWhitney([1, 1, 1], [1, 1, 1]), 1);
  const random = seeded(t);
  for (let run = 0; run < 50; run++) {
    const values = Array.from({ length: random.between(2, 9) }, (_, i) => i * 10 + random.between(0, 9));
    values.sort(() => random.between(0, 1) - 0.5);
    const split = random.between(1, values.length - 1);
    const [a, b] = [values.slice(0, split), values.slice(split)];
    t.equal(mannWhitney(a, b), mannWhitney(b, a));
    t.ok(Math.abs(mannWhitney(a, b) - byEnumeration(a, b)) < 1e-12);
  }
});

/** The same probability by looking at every way to split the values. */
function byEnumeration(a: number[], b: number[]): number {
  const all = [...a, ...b];
  const wins = (x: number[], y: number[]) => x.reduce((sum, v) => sum + y.filter(w => v > w).length, 0);
  const extreme = (u: number) => Math.min(u, a.length * b.length - u);
  const limit = extreme(wins(a, b));
  let total = 0;
  let tail = 0;
  for (let mask = 0; mask < 1 << all.length; mask++) {
    const x = all.filter((_, i) => (mask >> i) & 1);
    if (x.length !== a.length) continue;
    total++;
    if (
      extreme(
        wins(
          x,
          all.filter((_, i) => !((mask >> i) & 1)),
        ),
      ) <= limit
    )
      tail++;
  }
  // Two tails that meet in the middle are counted once here and twice there, where the sum stops at one.
  return limit * 2 === a.length * b.length ? 1 : tail / total;
}

t.test('what is beyond the noise is said, what is within is counted', async t => {
  const after = file(
    [
      ...e2e('kernel', 'tcp1', [5.1, 5, 5.2, 4.9, 5]),
      ...e2e('vxlan', 'tcp1', [7, 7.1, 6.9, 7.2, 7.3]),
      ...e2e('vxlan', 'rr50', [1500, 1600, 1700, 1800, 1900]),
      ...e2e('vxlan', 'connections', [1, 2, 3, 4, 5]),
    ],
    'def5678',
  );
  const verdicts = compareRuns(RUN, after).map(({ after: cell, verdict }) => [
    cell.contender,
    cell.figure,
    verdict,
  ]);
  t.same(verdicts, [
    ['kernel', 'tcp1', 'the same'],
    ['vxlan', 'tcp1', 'better'],
    ['vxlan', 'rr50', 'worse'],
  ]);
  const text = formatComparison(RUN, after);
  t.match(text, /better +Ripstop vxlan, wirecs: TCP, 1 stream: 6\.00 -> 7\.10 Gbit\/s \(\+18\.3 %/);
  t.match(text, /worse +Ripstop vxlan, wirecs: round trip, p50/);
  t.match(text, /3 figures compared: 1 better, 1 worse, 1 within the noise, 0 with too few/);
  const short = file(e2e('vxlan', 'tcp1', [9, 9.1, 9.2]));
  t.match(compareRuns(RUN, short), [{ verdict: 'too few samples' }]);
});

t.test('suites of an earlier run stand in for those that this one has not', async t => {
  const earlier = file(
    [
      ...e2e('kernel', 'tcp1', [99]),
      { suite: 'soak', contender: 'vxlan', condition: '600 s', figure: 'collections', round: 0, value: 0 },
    ],
    'old0000',
  );
  const both = joined(RUN, earlier);
  t.equal(both.samples.length, RUN.samples.length + 1);
  t.notOk(
    both.samples.some(({ value }) => value === 99),
    'what this run measured stays',
  );
  t.match(both.joined, [{ suites: ['soak'], commit: 'old0000' }]);
  t.match(formatMarkdown(both), /- soak: 2026-01-02 03:04 UTC, commit old0000/);
  t.equal(joined(RUN, RUN), RUN);
  const elsewhere = file(
    RUN.samples.map(sample => ({ ...sample, condition: 'wire' })),
    'old0001',
  );
  const conditions = joined(RUN, elsewhere);
  t.match(conditions.joined, [{ suites: ['e2e wire'], commit: 'old0001' }]);
  t.equal(conditions.missing.length, RUN.missing.length, 'what both lack is told once');
});

t.test('collections of threads in what V8 traces', async t => {
  const main =
    '[7:0x100] 20 ms: Mark-Compact 3 -> 2 MB, 1 / 0 ms (average mu = 1) testing; GC in old space requested';
  const worker = (address: string, ms: number, reason: string) =>
    `[7:${address}]  ${ms} ms: Scavenge 3 -> 2 MB, 1 / 0 ms (average mu = 1) ${reason};`;
  const text = [
    '{"ready":true}',
    // A thread of Node itself, here before the main thread is forced.
    worker('0x500', 10, 'allocation failure'),
    main,
    worker('0x200', 30, 'testing'),
    worker('0x300', 31, 'testing'),
    worker('0x400', 500, 'allocation failure'),
    worker('0x100', 500, 'allocation failure'),
    worker('0x200', 90, 'allocation failure'),
    worker('0x300', 500, 'allocation failure'),
    worker('0x300', 900, 'task'),
  ].join('\n');
  t.same(workerCollections(text, { from: 100, to: 800 }), { workers: 2, collections: 1 });
  t.same(workerCollections('nothing', { from: 0, to: 1 }), { workers: 0, collections: 0 });
});

t.test('the table fits 80 columns and shows the ratio to the kernel', async t => {
  const text = formatRun(RUN);
  for (const line of text.split('\n')) t.ok(line.length <= 80, `${line.length} columns`);
  t.match(text, /TCP, 1 stream, Gbit\/s +5\.00 +6\.00 \(1\.20\)/);
  t.match(text, /FDB, MAC, 1000 +9\.0\n/);
  t.match(text, /fastd: not installed/);
});

t.test('Markdown and HTML hold the same tables; the page needs nothing but itself', async t => {
  const markdown = formatMarkdown(RUN);
  const html = formatHtml(RUN);
  t.match(markdown, /## Goals: 1 of 2 met; moonshots: 1 of 2 reached/);
  t.match(
    markdown,
    /\| TCP, 1 stream \| Ripstop vxlan \/ kernel VXLAN \| 1\.20 \(≥ 0\.92; moonshot ≥ 1\.2 reached\) met \|/,
  );
  t.match(html, /<td class="missed">20\.0 \(≤ 0\.75; moonshot ≤ 0\.6\) missed<\/td>/);
  t.match(markdown, /\| TCP, 1 stream, Gbit\/s \| 5\.00 \(4\.90 to 5\.20\) \| 6\.00 \(5\.90 to 6\.20\) \|/);
  t.match(markdown, /not installed \\\| nor wanted/);
  t.match(html, /a &lt;fast&gt; one/);
  t.notMatch(html, /<script|<link|@import|src=|url\((?!#)/);
  t.ok((html.match(/<svg/g) ?? []).length >= 2, 'plots are in the page');
});
