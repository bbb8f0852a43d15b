import t from 'tap';
import { formatCosts } from '../../../src/cli/commands/timing/cost-run.ts';
import { costsOf, type OwnedFlow } from '../../../src/diagnose/cost.ts';
import type { Runtime, WorkerRuntime } from '../../../src/diagnose/runtime.ts';

const flow = (source: string, counts: Partial<OwnedFlow> = {}): OwnedFlow => ({
  ...{ device: 'flannel.1', direction: 'egress', protocol: 'tcp', source, sourcePort: 1 },
  ...{ destination: '10.244.2.2', destinationPort: 80, packets: 0, bytes: 0, drops: 0 },
  ...{ sourcePod: null, destinationPod: null },
  ...counts,
});

const worker = (
  direction: 'egress' | 'ingress',
  times: [number, number, number, number, number],
): WorkerRuntime => ({
  ...{ device: 'flannel.1', worker: `${direction}-0`, direction, nanoseconds: 1e9, asleep: 0 },
  stages: (['read', 'classify', 'slow-path', 'send', 'count'] as const).map((stage, at) => ({
    stage,
    nanoseconds: times[at]!,
  })),
  ...{ batches: 1, frames: 1, segments: 1, calls: 1 },
});

const runtime: Runtime = {
  seconds: 1,
  workers: [worker('egress', [200, 30, 10, 800, 60]), worker('ingress', [40, 0, 0, 0, 0])],
};

t.test(
  'half of read and send goes by bytes, the rest by packets, and the sum is the time of the workers',
  async t => {
    const before = [flow('10.244.1.2', { packets: 10, bytes: 1000 })];
    const after = [
      flow('10.244.1.2', { packets: 40, bytes: 1900 }), // 30 packets, 900 bytes
      flow('10.244.1.3', { packets: 5, bytes: 2100, drops: 5 }), // 10 packets, 2100 bytes
      flow('10.244.1.4', { direction: 'ingress', packets: 1, bytes: 0 }),
    ];
    const { seconds, rows } = costsOf(before, after, runtime, 'flow');
    t.equal(seconds, 1);
    t.same(rows, [
      {
        ...{ what: 'tcp 10.244.1.2:1 > 10.244.2.2:80', direction: 'egress', packets: 30, bytes: 900 },
        nanoseconds: 600 * 0.75 + 500 * 0.3,
      },
      {
        ...{ what: 'tcp 10.244.1.3:1 > 10.244.2.2:80', direction: 'egress', packets: 10, bytes: 2100 },
        nanoseconds: 600 * 0.25 + 500 * 0.7,
      },
      {
        ...{ what: 'tcp 10.244.1.4:1 > 10.244.2.2:80', direction: 'ingress', packets: 1, bytes: 0 },
        nanoseconds: 20,
      },
    ]);
    const egress = rows.filter(({ direction }) => direction === 'egress');
    t.equal(
      egress.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0),
      1100,
    );
  },
);

t.test('flows of a pod of this node are added up; a filter hides rows and changes no share', async t => {
  const after = [
    flow('10.244.1.2', { sourcePod: 'a/web', packets: 1, bytes: 1 }),
    flow('10.244.1.2', { sourcePod: 'a/web', sourcePort: 2, packets: 1, bytes: 1 }),
    flow('10.244.1.3', { packets: 2, bytes: 2 }),
  ];
  const byPod = costsOf([], after, runtime, 'pod');
  t.match(byPod.rows, [
    { what: 'a/web', packets: 2, nanoseconds: 550 },
    { what: '10.244.1.3', packets: 2, nanoseconds: 550 },
  ]);
  const one = costsOf(
    [],
    after,
    runtime,
    'pod',
    ({ sourcePort, sourcePod }) => sourcePod !== null && sourcePort === 2,
  );
  t.match(one.rows, [{ what: 'a/web', packets: 1, nanoseconds: 275 }]);
  t.equal(one.rows.length, 1);
});

t.test(
  'a flow without packets in the interval has no row; one that began again counts from zero',
  async t => {
    const before = [
      flow('10.244.1.2', { packets: 10, bytes: 10 }),
      flow('10.244.1.3', { packets: 10, bytes: 10 }),
    ];
    const after = [
      flow('10.244.1.2', { packets: 10, bytes: 10 }),
      flow('10.244.1.3', { packets: 4, bytes: 4 }),
    ];
    t.match(costsOf(before, after, runtime, 'flow').rows, [{ packets: 4, bytes: 4, nanoseconds: 1100 }]);
    t.equal(formatCosts({ seconds: 1, rows: [] }), 'no flow\n');
  },
);

t.test('the table fits 80 columns with IPv4', async t => {
  const after = [flow('10.244.100.200', { sourcePort: 65535, packets: 1e9, bytes: 1e12 })];
  const text = formatCosts(costsOf([], after, runtime, 'flow'));
  for (const line of text.split('\n')) t.ok(line.length <= 80, line);
});
