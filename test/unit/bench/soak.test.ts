import t from 'tap';
import { formatRun } from '../../../bench/report/table.ts';
import { judge, type Point, QUANTITIES } from '../../../bench/soak/churn/criterion.ts';
import { foreign } from '../../../bench/soak/churn/peers.ts';
import { seeded } from '../../fixtures/random.ts';

const course = (values: readonly number[]): Point[] => values.map((value, i) => ({ atS: i * 60, value }));

t.test('growth is that of the last two thirds, whatever the warm-up and outliers do', async t => {
  const random = seeded(t, 16);
  const noise = () => random.between(-20, 20) / 10;
  const warm = Array.from({ length: 20 }, (_, i) => 90 + i * 3);
  const settled = Array.from({ length: 40 }, noise).map(value => 150 + value);
  settled[7] = 400;
  settled[30] = 20;
  const { bound } = QUANTITIES.rss;
  t.match(judge(course([...warm, ...settled]), bound), { isFlat: true, bound });
  // 97 to 209 MB in twenty minutes, as an older commit did.
  const leaking = Array.from({ length: 20 }, (_, i) => 97 + i * 5.6 + noise());
  const verdict = judge(course(leaking), bound)!;
  t.notOk(verdict.isFlat);
  t.ok(verdict.growth > 60 && verdict.growth < 85, `${verdict.growth} MB in two thirds`);
  t.ok(verdict.first < verdict.middle && verdict.middle < verdict.last);
});

t.test('one more of a thing that is counted is growth, one that comes and goes is not', async t => {
  const { bound } = QUANTITIES.descriptors;
  t.ok(judge(course([40, 40, 41, 40, 40, 40, 41, 40, 40]), bound)?.isFlat);
  t.notOk(judge(course([40, 40, 40, 40, 41, 41, 42, 42, 43]), bound)?.isFlat);
  t.equal(judge(course([1, 2, 3]), bound), undefined, 'too few to say');
});

t.test('foreign nodes never share a name or an address, and move with each version', async t => {
  const numbers = [1, 2, 255, 256, 65_535, 65_536, 300_000];
  const nodes = numbers.flatMap(number => [foreign(number), foreign(number, 1)]);
  t.equal(new Set(nodes.map(({ attributes }) => attributes.publicIp)).size, nodes.length);
  t.equal(new Set(nodes.map(({ attributes }) => JSON.stringify(attributes.backendData))).size, nodes.length);
  t.equal(new Set(nodes.map(({ name }) => name)).size, numbers.length);
  t.match(foreign(7).key, /^10\.96\.7\.0-24&fd00:10:96:7::-64$/);
});

t.test('the table ends with a verdict per node', async t => {
  const sample = (contender: string, condition: string, figure: string, value: number) => ({
    ...{ suite: 'churn', contender, condition, figure, round: 0, value },
  });
  const of = (contender: string, growth: number) => [
    sample(contender, 'threads', 'churnGrowth', 0),
    sample(contender, 'threads', 'churnBound', 1),
    sample(contender, 'resident memory, MB', 'churnGrowth', growth),
    sample(contender, 'resident memory, MB', 'churnBound', 12),
  ];
  const text = formatRun({
    ...{ format: 'ripstop-bench/1', began: '2026-01-02T03:04:05.000Z', seconds: 1, inner: 4, underlay: 4 },
    versions: { ripstop: '0.1.0', commit: 'abc', node: 'v20', kernel: '6', iperf3: '3' },
    ...{ machine: { processor: 'one', cores: 2 }, congestion: 'cubic', labels: {}, missing: [] },
    samples: [...of('file store, node 1', 2), ...of('file store, node 2', 80)],
  });
  t.match(text, /^churn, file store, node 1: flat$/m);
  t.match(text, /^churn, file store, node 2: growing: resident memory, MB$/m);
});
