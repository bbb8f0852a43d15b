import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Agent } from '../../../src/agent/agent.ts';
import { metricsBody, OtlpMetrics, otlpOptions } from '../../../src/api/otlp-metrics.ts';
import { createLog } from '../../../src/base/log.ts';
import { until } from '../../../src/lab/until.ts';

const gauges = {
  batches: 0,
  wakeups: 0,
  nativeCalls: 0,
  fallbacks: 0,
  batchMax: 0,
  segments: 0,
  coalesced: 0,
};
const lag = { lastMs: 1, maxMs: 2 };
const counters = {
  verdicts: { 'wrong-vni': { frames: 3, bytes: 300 } },
  queues: [{ egress: 5, ingress: 7 }],
  peers: {},
  egress: gauges,
  ingress: gauges,
  restarts: 0,
  loweredPaths: 0,
  lag: { egress: lag, ingress: lag },
};
const agent = {
  readiness: { isReady: true },
  store: { kind: 'file' },
  watch: { leases: new Map() },
  lease: { failing: new Map() },
  networkStarts: 1,
  endpoints: { states: [] },
  uncaught: { count: 0 },
  repairs: { steps: new Map(), rules: 0, failures: 0 },
  probes: { silent: () => 0 },
  proofs: { broken: () => [] },
  network: {
    overlays: [{ plan: { device: 'flannel.1' }, peers: [], counters: () => counters }],
    rejected: [],
  },
} as unknown as Agent;
const still = { take: () => ({ mean: 0, max: 0.5 }) };

t.test('the body is what a collector takes', async t => {
  const body = metricsBody(agent, still, {
    resource: { 'service.name': 'ripstop' },
    version: '1.2.3',
    startedAt: 1_700_000_000_000,
    now: 1_700_000_060_000,
  });
  const [{ resource, scopeMetrics }] = body.resourceMetrics as [(typeof body.resourceMetrics)[0]];
  t.strictSame(resource.attributes, [{ key: 'service.name', value: { stringValue: 'ripstop' } }]);
  const [{ scope, metrics }] = scopeMetrics as [(typeof scopeMetrics)[0]];
  t.strictSame(scope, { name: 'ripstop', version: '1.2.3' });
  const named = (name: string) => metrics.find(metric => metric.name === name);
  t.match(named('ripstop_ready'), { unit: '1', gauge: { dataPoints: [{ attributes: [], asDouble: 1 }] } });
  t.match(named('ripstop_drop_bytes_total'), {
    unit: 'By',
    sum: { aggregationTemporality: 2, isMonotonic: true },
  });
  const drops = named('ripstop_drops_total') as unknown as {
    sum: { dataPoints: { attributes: object[]; asDouble: number }[] };
  };
  t.strictSame(
    drops.sum.dataPoints.find(({ asDouble }) => asDouble === 3),
    {
      attributes: [
        { key: 'device', value: { stringValue: 'flannel.1' } },
        { key: 'reason', value: { stringValue: 'wrong-vni' } },
        { key: 'direction', value: { stringValue: 'ingress' } },
      ],
      startTimeUnixNano: '1700000000000000000',
      timeUnixNano: '1700000060000000000',
      asDouble: 3,
    },
  );
  t.equal(named('ripstop_event_loop_lag_seconds')?.unit, 's');
  t.equal(named('ripstop_lease_remaining_seconds'), undefined, 'no points, no metric');
});

t.test("OpenTelemetry's variables", async t => {
  const options = (env: Record<string, string>) => otlpOptions(env, 'node1');
  t.equal(options({}), undefined);
  const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/' };
  t.match(options(base), { endpoint: { url: 'http://c:4318/v1/metrics', headers: {} }, intervalMs: 60_000 });
  t.equal(options({ ...base, OTEL_SDK_DISABLED: 'true' }), undefined);
  t.equal(options({ ...base, OTEL_METRICS_EXPORTER: 'none' }), undefined);
  t.match(
    options({
      ...base,
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'https://m/x',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20abc, x=1=2',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
      OTEL_RESOURCE_ATTRIBUTES: 'k8s.cluster.name=a%2Cb,service.name=lost',
      OTEL_SERVICE_NAME: 'overlay',
    }),
    {
      endpoint: { url: 'https://m/x', headers: { authorization: 'Basic abc', x: '1=2' } },
      intervalMs: 500,
      resource: { 'service.name': 'overlay', 'host.name': 'node1', 'k8s.cluster.name': 'a,b' },
    },
  );
  const wrong = [
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
    { OTEL_METRIC_EXPORT_INTERVAL: 'often' },
    { OTEL_METRIC_EXPORT_INTERVAL: '2147483648' },
  ];
  for (const env of wrong) t.throws(() => options({ ...base, ...env }), { code: 'ECONFIG' });
});

t.test('pushed, and pushed again after the collector was away', async t => {
  const got: { headers: IncomingHttpHeaders; body: string }[] = [];
  let status = 503;
  const collector = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    got.push({ headers: request.headers, body });
    response.writeHead(status).end('{}');
  });
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve));
  t.teardown(() => collector.close());
  const { port } = collector.address() as AddressInfo;
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=k',
    OTEL_METRIC_EXPORT_INTERVAL: '100',
  };
  const pusher = new OtlpMetrics(agent, otlpOptions(env, 'n')!, '1', createLog('silent'));
  await until('a refused push', () => got.length > 0);
  status = 200;
  await until('another one', () => got.length > 2);
  await pusher.stop();
  const { headers, body } = got.at(-1)!;
  t.match(headers, { 'content-type': 'application/json', 'x-key': 'k' });
  t.ok(JSON.parse(body).resourceMetrics[0].scopeMetrics[0].metrics.length > 10);
});
