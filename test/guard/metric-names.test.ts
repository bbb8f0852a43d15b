import t from 'tap';
import { METRICS, type Metric } from '../../src/api/metrics.ts';

/* Prometheus' rules: "Metric and label naming", "Writing exporters", and what `promtool check metrics` finds. */

const PREFIX = 'ripstop_';
/** Base units that we use, and units that are to be converted to them. */
const BASE_UNITS = ['seconds', 'bytes', 'ratio'];
const OTHER_UNITS =
  /_(ns|us|ms|milliseconds|microseconds|nanoseconds|minutes|hours|days|bits|kb|mb|kib|mib|percent)(_|$)/;
/** Suffixes of the series of histograms and summaries, and names of the types. */
const RESERVED = /_(count|sum|bucket|info|created|gauge|counter|histogram|summary)$/;
/** Labels that Prometheus sets, or that histograms and summaries have. */
const RESERVED_LABELS = ['job', 'instance', 'le', 'quantile', 'type'];

type Named = Pick<Metric, 'name' | 'kind' | 'help' | 'labels'>;

function faultsOf({ name, kind, help, labels }: Named): string[] {
  const isTotal = name.endsWith('_total');
  const stem = name.replace(/_total$/, '');
  const unit = BASE_UNITS.find(one => stem.includes(`_${one}`));
  const faults: [boolean, string][] = [
    [!/^[a-z][a-z_]*$/.test(name), 'letters and underscores only, no colons'],
    [!name.startsWith(PREFIX), `begins with ${PREFIX}`],
    [kind === 'counter' && !isTotal, 'a counter ends with _total'],
    [kind !== 'counter' && isTotal, 'only a counter ends with _total'],
    [RESERVED.test(stem), 'a reserved suffix'],
    [OTHER_UNITS.test(stem), `a unit that is not a base unit (${BASE_UNITS.join(', ')})`],
    [unit !== undefined && !stem.endsWith(`_${unit}`), `${unit} is at the end`],
    [/_(by|per)_/.test(stem), 'labels are not part of the name'],
    [labels.some(label => !/^[a-z][a-z_]*$/.test(label)), 'a label of other characters'],
    [labels.some(label => RESERVED_LABELS.includes(label)), 'a reserved label'],
    [new Set(labels).size < labels.length, 'a label twice'],
    [!/^[A-Z].+\.$/.test(help), 'the help is a sentence: capital letter, full stop'],
    [/\bit\b/.test(help.split(/[,;:]/)[0] ?? ''), 'the help stands alone'],
  ];
  return faults.flatMap(([isFault, what]) => (isFault ? [`${name}: ${what}`] : []));
}

t.test('metrics are named as Prometheus advises', async t => {
  t.ok(METRICS.length > 30);
  t.same(METRICS.flatMap(faultsOf), []);
});

t.test('the check finds what it looks for', async t => {
  const sound: Named = { name: 'ripstop_frames_total', kind: 'counter', help: 'Frames.', labels: ['device'] };
  t.same(faultsOf(sound), []);
  const wrong: Partial<Named>[] = [
    { name: 'frames_total' },
    { name: 'ripstop:frames_total' },
    { name: 'ripstop_frames' },
    { kind: 'gauge' },
    { name: 'ripstop_frames_count_total' },
    { name: 'ripstop_lag_ms_total' },
    { name: 'ripstop_bytes_sent_total' },
    { name: 'ripstop_frames_by_device_total' },
    { labels: ['Device'] },
    { labels: ['instance'] },
    { labels: ['a', 'a'] },
    { help: '' },
    { help: 'frames' },
    { help: 'Whether it works.' },
  ];
  for (const one of wrong) t.not(faultsOf({ ...sound, ...one }).length, 0, JSON.stringify(one));
});
