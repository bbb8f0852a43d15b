import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { publish } from '../../../bench/publish.ts';
import { figuresOf, plotOf } from '../../../bench/report/readme.ts';
import type { BenchFile } from '../../../bench/report/samples.ts';
import { e2e, file } from './bench-file.ts';

/** A report with the figures of the README in some conditions. */
function reportIn(conditions: readonly string[], columns: readonly string[]): string {
  const row = (name: string, medians: number[]) =>
    `| ${name} | ${medians
      .slice(0, columns.length)
      .map(median => `${median} (${median} to ${median})`)
      .join(' | ')} |`;
  const table = (title: string, head: readonly string[]) => [
    `## End to end, underlay ${title}`,
    `|  | ${head.join(' | ')} |`,
    row('TCP, 1 stream, Gbit/s', [10, 5, 5, 2, 1]),
    row('UDP 64 bytes, 1 flow, kpps', [1, 2, 3, 4, 5]),
    row('round trip, p50, us', [1, 2, 3, 4, 5]),
    row('CPU time per gigabit, s/Gbit', [1, 2, 3, 4, 5]),
  ];
  return [
    '- Ripstop: 0.1.0, commit abc',
    '- machine: 2 cores, a processor',
    '- kernel: 6.1',
    '- Node: v20',
    '- run: 2026-01-02 03:04 UTC, 5 s',
    ...conditions.flatMap(condition => [
      ...table(`${condition}: x`, columns),
      ...table(`${condition}, sealed: y`, ['wireguard-go']),
    ]),
    '## Next',
    '',
  ].join('\n');
}
const COLUMNS = ['kernel VXLAN', 'Ripstop vxlan', 'Ripstop udp', 'one call (C)', 'fastd, null'];

t.test(
  'figures of the README: bars in proportion to the medians of the report, ratios in a table',
  async t => {
    const report = reportIn(['wirecs', 'nic'], COLUMNS);
    const widths = [...plotOf(report).matchAll(/<rect x="150" y="(\d+)" width="([\d.]+)"/g)].map(found =>
      Number(found[2]),
    );
    t.equal(widths.length, 4 * 6, 'a sealed tunnel has a bar, too');
    t.equal(widths[1], widths[0]! / 2);
    t.equal(plotOf(reportIn(['nic'], COLUMNS.slice(0, 2))).match(/<rect x="150"/g)?.length, 4 * 3);
    t.equal(
      figuresOf(report),
      [
        'Pod to pod, condition `nic`, medians; 2 cores, a processor, Linux 6.1, Node v20; Ripstop 0.1.0, commit abc, 2026-01-02.',
        '',
        '| Ripstop over kernel VXLAN | TCP, 1 stream | TCP, 4 streams | 64-byte packets | round trip p50 | p99 | CPU per gigabit | connections |',
        '| --- | --- | --- | --- | --- | --- | --- | --- |',
        '| `nic` | 0.50 | - | 2.00 | 2.00 | - | 2.00 | - |',
        '| `wirecs` | 0.50 | - | 2.00 | 2.00 | - | 2.00 | - |',
      ].join('\n'),
    );
    t.match(
      figuresOf(reportIn(['wire'], COLUMNS)),
      /condition `wire`/,
      'a report without nic shows its first',
    );
    t.throws(
      () => plotOf(reportIn(['nic'], COLUMNS.slice(1))),
      /no figure "TCP, 1 stream, Gbit\/s" of "kernel VXLAN"/,
    );
    t.throws(() => plotOf(reportIn([], COLUMNS)), /no table/);
  },
);

t.test('a published report: the former one of another machine stays under its name', async t => {
  const root = mkdtempSync(join(tmpdir(), 'rs-publish-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const at = (path: string) => join(root, path);
  const text = (path: string) => readFileSync(at(path), 'utf8');
  for (const folder of ['bench/results', 'docs/images']) mkdirSync(at(folder), { recursive: true });
  const marked = (mark: string) => `before\n<!-- ${mark}: begin -->\nold\n<!-- ${mark}: end -->\nafter\n`;
  writeFileSync(at('README.md'), marked('figures'));
  writeFileSync(at('bench/results/README.md'), marked('former'));
  const whole = (machine: string, kernel: string): BenchFile => {
    const figures = ['tcp1', 'udp64x1', 'rr50', 'cpu'];
    const samples = ['kernel', 'vxlan'].flatMap(id => figures.flatMap(of => e2e(id, of, [2], 'nic')));
    const run = file(samples);
    return { ...run, machine: { processor: machine, cores: 2 }, versions: { ...run.versions, kernel } };
  };
  publish(whole('A (R) one', '6.1'), root);
  t.match(
    text('README.md'),
    /^before\n<!-- figures: begin -->\nPod to pod, condition `nic`.*\n[\s\S]*after\n$/,
  );
  t.match(text('bench/results/README.md'), /begin -->\nNone yet\.\n<!--/);
  publish({ ...whole('A (R) one', '6.1'), seconds: 7 }, root);
  t.same(
    readdirSync(at('bench/results')).sort(),
    ['README.md', 'benchmarks.md'],
    'the same machine replaces its own',
  );
  publish(whole('B', '6.2'), root);
  const kept = 'benchmarks-2-cores-a-one-linux-6-1.md';
  t.match(text(`bench/results/${kept}`), /- run: .*, 7 s/);
  t.match(text('bench/results/benchmarks.md'), /- machine: 2 cores, B/);
  t.match(text('bench/results/README.md'), `- [2 cores a one linux 6 1](${kept})`);
  t.match(text('docs/images/figures.svg'), /^<svg/);
  t.throws(() => publish(file([]), root), /no table/);
  t.match(text('bench/results/benchmarks.md'), /- machine: 2 cores, B/, 'a refused report changes nothing');
});
