import t from 'tap';
import { GOALS } from '../../../bench/report/goals/goals.ts';
import { judgeGoals, verdictOf } from '../../../bench/report/goals/judge.ts';
import type { BenchFile, Sample } from '../../../bench/report/samples.ts';
import { e2e, file, RUN } from './bench-file.ts';

const CHARGES = { systemCall: 120, wakeNear: 900, wakeFar: null, copy: 8_000 };
const charging = (run: BenchFile, systemCall: number): BenchFile => ({
  ...run,
  machine: { ...run.machine, charges: { ...CHARGES, systemCall } },
});

t.test('goals are judged by the ratio of medians', async t => {
  const judged = judgeGoals(RUN);
  t.match(judged, [
    { title: 'round trip, p50', must: 0.75, moonshot: 0.6, met: false, beyond: false },
    { title: 'TCP, 1 stream', of: ['vxlan', 'kernel'], must: 0.92, moonshot: 1.2, met: true, beyond: true },
  ]);
  t.ok(Math.abs(judged[1]!.value - 6 / 5) < 1e-9);
  const others = [...e2e('vxlan', 'tcp1', [6]), ...e2e('fastd', 'tcp1', [0.7]), ...e2e('vde', 'tcp1', [1.1])];
  t.match(
    judgeGoals(file(others)),
    [{ of: ['vxlan', 'vde'], must: 6, met: false }],
    'the fastest other counts',
  );
});

t.test('goals that are no ratio of two contenders', async t => {
  const both = (pods: number, nodes: number) => [
    ...e2e('vxlan', 'tcp1', [pods]),
    ...e2e('kernel', 'tcp1', [10]),
    ...e2e('vxlan', 'tcp1node', [nodes]),
    ...e2e('kernel', 'tcp1node', [20]),
  ];
  const bridged = (pods: number, nodes: number) =>
    judgeGoals(file(both(pods, nodes))).find(({ title }) => title.endsWith('pods to nodes'));
  t.match(bridged(6, 10), { value: 1.2, met: true }, 'six tenths through pods, five between nodes');
  t.match(bridged(4, 10), { value: 0.8, met: false });
  const alone = (suite: string, contender: string, condition: string, figure: string, value: number) => [
    { suite, contender, condition, figure, round: 0, value },
  ];
  const judge = (...samples: Sample[]) => judgeGoals(file(samples));
  t.match(judge(...alone('soak', 'vxlan', '600 s', 'collections', 0)), [{ must: 0, value: 0, met: true }]);
  t.match(judge(...alone('soak', 'vxlan', '600 s', 'collections', 1)), [{ met: false }]);
  t.same(judge(...alone('soak', 'vxlan', '6 s', 'collections', 0)), [], 'a short soak says nothing');
  const stalls = [200, 1200].flatMap(us => alone('update', 'tables published', '1000 peers', 'stallUs', us));
  t.match(judge(...stalls), [{ value: 1200, met: false }], 'the longest stall counts, not the median');
  const frames = (condition: string, ns: number) =>
    alone('path', 'egress, vxlan', condition, 'nsPerFrame', ns);
  t.match(judge(...frames('2 peers', 40), ...frames('1000 peers', 44)), [{ value: 1.1, met: true }]);
});

t.test('where a system call is dear, some goals have other bounds', async t => {
  const run = file([...e2e('kernel', 'tcp1', [10], 'nic'), ...e2e('vxlan', 'tcp1', [9], 'nic')]);
  t.match(
    judgeGoals(run),
    [{ must: 1.3, moonshot: 1.5, met: false }],
    'a file without charges has cheap calls',
  );
  t.match(judgeGoals(charging(run, 290)), [{ must: 1.3, met: false }]);
  const busy = { ...charging(run, 950), busyBefore: 0.5 };
  t.match(judgeGoals(busy), [{ must: 1.3 }], 'the costs of a busy machine say nothing');
  const dear = judgeGoals(charging(run, 950));
  t.match(dear, [{ must: 0.85, moonshot: 1, met: true, beyond: false }]);
  t.equal(verdictOf(run, dear[0]!), '0.90 (≥ 0.85; moonshot ≥ 1) met');
  const far = judgeGoals(file([...e2e('kernel', 'rr99', [10]), ...e2e('vxlan', 'rr99', [7])]));
  t.equal(verdictOf(run, far[0]!), '0.70 (≤ 1; moonshot ≤ 0.8 reached) met');
});

t.test('a flood is compared with the best of the paced rates', async t => {
  const samples = [
    ...e2e('vxlan', 'udp64x1', [200, 210, 190], 'nic'),
    ...e2e('vxlan', 'paced95', [180, 180, 180], 'nic'),
    ...e2e('vxlan', 'paced125', [250, 400, 240], 'nic'),
    ...e2e('vxlan', 'paced170', [100], 'nic'),
  ];
  const [goal] = judgeGoals(file(samples));
  t.match(goal, { value: 0.8, must: 1, met: false });
  t.equal(verdictOf(file(samples), goal!), '0.80 (≥ 1) missed');
});

t.test('what issue 20 asks for has a goal, with its moonshot', async t => {
  const of = (figure: string, condition: string) => {
    const place = { suite: 'e2e', condition, figure, round: 0 };
    const own = ['vxlan', 'kernel'].map((contender, at): Sample => ({ ...place, contender, value: 1 + at }));
    const node = ['scale', 'update'].flatMap(suite =>
      ['a node', 'tables published'].map((contender): Sample => ({ ...place, suite, contender, value: 1 })),
    );
    return judgeGoals(file([...own, ...node])).filter(goal => goal.moonshot !== undefined);
  };
  const asked: [figure: string, condition: string, must: number, moonshot: number][] = [
    ...['nic', 'wirecs'].flatMap((c): [string, string, number, number][] => [
      ['rr50', c, 0.75, 0.6],
      ['rr99', c, 1, 0.8],
      ['connections', c, 0.95, 1.1],
      ['udp64x1', c, 2, 3],
    ]),
    ['tcp1', 'nic', 1.3, 1.5],
    ['tcp1', 'wirecs', 0.92, 1.2],
    ['tcp1', 'def', 0.71, 0.9],
    ['tcp4', 'nic', 1.26, 1.5],
    ['cpu', 'nic', 1.15, 1],
    ['idlePercent', '1000 peers', 0.5, 0.2],
    ['residentMb', '1000 peers', 100, 80],
    ['stallUs', '1000 peers', 1000, 200],
  ];
  for (const [figure, condition, must, moonshot] of asked)
    t.match(of(figure, condition), [{ must, moonshot }], `${figure}, ${condition}`);
  for (const figure of ['tcpboth', 'load50', 'load99']) t.equal(of(figure, 'nic').length, 1, figure);
  for (const { title, condition, direction, bound, dear } of GOALS)
    for (const { must, moonshot = must } of [bound, dear ?? bound])
      t.ok(direction === 'at least' ? moonshot >= must : moonshot <= must, `${title}, ${condition}`);
});
