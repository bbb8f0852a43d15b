import t from 'tap';
import { benchText, comparisonText } from '../../../src/cli/commands/measure/bench-text.ts';
import { compareBench } from '../../../src/measure/bench/compare.ts';
import { benchCsv } from '../../../src/measure/bench/csv.ts';
import type { FigureId } from '../../../src/measure/bench/figures.ts';
import { benchHtml } from '../../../src/measure/bench/html.ts';
import {
  type BenchReport,
  type BenchSample,
  cellsOf,
  confidenceOf,
} from '../../../src/measure/bench/report.ts';
import { lineChart, ticksTo } from '../../../src/measure/bench/svg.ts';

const samples = (figure: FigureId, size: number, values: readonly number[]): BenchSample[] =>
  values.map((value, at) => ({ size, figure, repeat: at + 1, value }));

function reportOf(throughput: readonly number[], p99: readonly number[]): BenchReport {
  return {
    ...{ peer: '10.0.0.2:5299', began: '2026-11-30T00:00:00.000Z', seconds: 12.3, trialSeconds: 1 },
    ...{ lossLimitPercent: 0.1, sizes: [46], repeats: throughput.length },
    samples: [...samples('throughput', 46, throughput), ...samples('rtt50p99', 46, p99)],
    curve: [
      { size: 46, offered: 1000, arrived: 1000, lossPercent: 0 },
      { size: 46, offered: 2000, arrived: 1100, lossPercent: 45 },
    ],
    noisy: ['rtt50p99 at 46 bytes'],
    notes: ['<b>not bold</b> & "quoted"'],
  };
}

const BEFORE = reportOf([100, 101, 102, 103, 104], [50, 60, 70, 80, 90]);

t.test('a comparison tells a difference from noise, and which way is better', async t => {
  const verdicts = (after: BenchReport, before = BEFORE) =>
    compareBench(before, after).differences.map(({ figure, verdict }) => [figure, verdict]);
  t.same(verdicts(reportOf([110, 111, 112, 113, 114], [1, 2, 3, 4, 5])), [
    ['throughput', 'better'],
    ['rtt50p99', 'better'],
  ]);
  t.same(verdicts(reportOf([90, 91, 92, 93, 94], [100, 101, 102, 103, 104])), [
    ['throughput', 'worse'],
    ['rtt50p99', 'worse'],
  ]);
  t.same(verdicts(reportOf([99, 101.5, 102.5, 103.5, 104.5], [49, 61, 71, 81, 91])), [
    ['throughput', 'noise'],
    ['rtt50p99', 'noise'],
  ]);
  t.same(verdicts(reportOf([900, 901, 902], [1, 2, 3]), reportOf([1, 2, 3], [5, 6, 7])), [
    ['throughput', 'too few repeats'],
    ['rtt50p99', 'too few repeats'],
  ]);
  const [change] = compareBench(BEFORE, reportOf([110, 111, 112, 113, 114], [1])).differences;
  t.same([change?.before, change?.after, change?.changePercent], [102, 112, 9.8]);
});

t.test('the range of the repeats is a confidence interval of the median', async t => {
  t.same([1, 2, 5, 6].map(confidenceOf), [0, 50, 93.75, 96.875]);
  t.same(
    cellsOf(BEFORE.samples).map(({ figure, median, min, max }) => [figure, median, min, max]),
    [
      ['throughput', 102, 100, 104],
      ['rtt50p99', 70, 50, 90],
    ],
  );
});

t.test('text of at most 80 columns, CSV and a page that needs nothing else', async t => {
  for (const text of [benchText(BEFORE), comparisonText(compareBench(BEFORE, BEFORE))])
    for (const line of text.split('\n')) t.ok(line.length <= 80, line);
  t.match(benchCsv(BEFORE), '46,throughput,"throughput",packets/s,1,100\r\n');
  t.equal(benchCsv(BEFORE).trimEnd().split('\r\n').length, 11);
  const html = benchHtml(BEFORE);
  t.match(html, '&#60;b&#62;not bold&#60;/b&#62;');
  t.notMatch(html, /<b>|https?:|src=|href=/);
  t.equal(html.match(/<svg/g)?.length, 2);
  t.equal(html.match(/<circle/g)?.length, 3, 'two points of loss, one of latency');
});

t.test('axes have round numbers, and an empty chart is drawn', async t => {
  t.same(ticksTo(10), [0, 2, 4, 6, 8, 10]);
  t.same(ticksTo(0.7), [0, 0.2, 0.4, 0.6, 0.8]);
  t.same(ticksTo(0), [0, 1]);
  const chart = { title: 'a<b', x: 'x', y: 'y', series: [], format: String, logarithmicY: true };
  t.notMatch(lineChart(chart), /NaN|a<b/);
});
