import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { formatTraceParent, parseTraceParent } from '../../../src/cni/telemetry/context.ts';
import { collectorOf } from '../../../src/cni/telemetry/otlp.ts';
import { runTraced } from '../../../src/cni/telemetry/run-traced.ts';
import { SpanLog } from '../../../src/cni/telemetry/spans.ts';
import { launch } from '../../../src/lab/proc.ts';
import { until } from '../../../src/lab/until.ts';
import { attachment, scratch, testHost } from './fixtures/harness.ts';

interface Attribute {
  key: string;
  value: { stringValue?: string; intValue?: string };
}

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status: { code?: number; message?: string };
}

interface Received {
  path: string;
  headers: IncomingMessage['headers'];
  service: string | undefined;
  spans: OtlpSpan[];
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;

const attributes = (span: OtlpSpan) =>
  Object.fromEntries(
    span.attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  );

/** A collector like OpenTelemetry's, and the installed plugins. */
async function setUp(t: Test) {
  const received: Received[] = [];
  const server = createHttpServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', chunk => {
      text += chunk;
    });
    request.on('end', () => {
      const [one] = JSON.parse(text).resourceSpans;
      const service = one.resource.attributes.find(({ key }: Attribute) => key === 'service.name');
      received.push({
        path: request.url ?? '',
        headers: request.headers,
        service: service?.value.stringValue,
        spans: one.scopeSpans[0].spans,
      });
      response.end('{}');
    });
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  t.teardown(() => server.close());
  const folder = scratch(t);
  const [binDir, socket] = [`${folder}/bin`, `${folder}/cni.sock`];
  installCni({ binDir, socket, standalone: true });
  const config = {
    cniVersion: '1.0.0',
    name: 'net',
    type: 'host-local',
    ipam: { type: 'host-local', dataDir: `${folder}/networks`, subnet: '10.1.0.0/24' },
  };
  /** @returns exit code and output */
  const exec = async (plugin: string, command: string, env: Record<string, string>, container = 'c1') => {
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: container,
      CNI_NETNS: '/no/such/netns',
      CNI_IFNAME: 'eth0',
      CNI_PATH: binDir,
      ...env,
    };
    const script = `echo '${JSON.stringify({ ...config, type: plugin })}' | ${binDir}/${plugin}`;
    const words = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    const proc = launch(['env', ...words, 'sh', '-c', script]);
    const { code } = await proc.ended;
    return { code, stdout: proc.stdout, stderr: proc.stderr };
  };
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { received, exec, endpoint, socket, config };
}

for (const way of ['by the agent', 'in a process of its own'] as const)
  t.test(`a span of each plugin, below TRACEPARENT: ${way}`, async t => {
    const { received, exec, endpoint, socket } = await setUp(t);
    if (way === 'by the agent') {
      const agent = await serveCni(socket, testHost(), `${socket}-calls`);
      t.teardown(() => agent.close());
    }
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20x,y=z',
      TRACEPARENT: PARENT,
      TRACESTATE: 'k=v',
    };
    const began = Date.now();
    t.equal((await exec('host-local', 'ADD', env)).code, 0);
    await until('the span of ADD', () => received.length === 1);
    const [add] = received;
    t.match(add, {
      path: '/v1/traces',
      headers: { 'content-type': 'application/json', authorization: 'Bearer x', y: 'z' },
      service: 'ripstop-cni',
      spans: [
        {
          name: 'host-local ADD',
          traceId: TRACE,
          parentSpanId: 'b7ad6b7169203331',
          traceState: 'k=v',
          status: {},
        },
      ],
    });
    const [span] = add!.spans as [OtlpSpan];
    t.strictSame(attributes(span), {
      'cni.plugin': 'host-local',
      'cni.command': 'ADD',
      'cni.container_id': 'c1',
      'cni.ifname': 'eth0',
      'cni.netns': '/no/such/netns',
    });
    const [from, to] = [span.startTimeUnixNano, span.endTimeUnixNano].map(text => Number(text) / 1e6);
    t.ok(from! >= began - 1 && to! >= from! && to! <= Date.now() + 1, 'real times');

    t.equal((await exec('host-local', 'ADD', env)).code, 1, 'a second time: refused');
    await until('the span of the refusal', () => received.length === 2);
    t.match(received[1]!.spans, [{ status: { code: 2, message: /duplicate allocation/ } }]);
    t.equal(attributes(received[1]!.spans[0]!)['cni.error_code'], 999);

    // Without a namespace of the pod, DEL of macvlan asks the node for nothing but the delegate.
    t.equal((await exec('macvlan', 'DEL', env)).code, 0);
    await until('the spans of DEL', () => received.length === 3);
    const names = received[2]!.spans.map(one => one.name).sort();
    t.strictSame(names, ['host-local DEL', 'macvlan DEL'], 'and of the one that it hands work to');
    const [delegate, main] = received[2]!.spans.toSorted((a, b) => a.name.localeCompare(b.name));
    t.equal(delegate!.parentSpanId, main!.spanId);
    t.equal(main!.parentSpanId, 'b7ad6b7169203331');
  });

t.test('no trace begun, one that is not wanted, none that can be read, no exporter', async t => {
  const { received, exec, endpoint, socket } = await setUp(t);
  const agent = await serveCni(socket, testHost(), `${socket}-calls`);
  t.teardown(() => agent.close());
  const env = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/here`, OTEL_SERVICE_NAME: 'node7' };
  t.equal((await exec('host-local', 'ADD', env)).code, 0);
  await until('a span', () => received.length === 1);
  t.match(received[0], { path: '/here', service: 'node7', spans: [{ traceId: /^[0-9a-f]{32}$/ }] });
  t.notOk(received[0]!.spans[0]!.parentSpanId, 'the first of its trace');
  const silent = [
    { ...env, TRACEPARENT: PARENT.replace(/01$/, '00') },
    { ...env, OTEL_SDK_DISABLED: 'true' },
    { ...env, OTEL_TRACES_EXPORTER: 'none' },
    { TRACEPARENT: PARENT },
  ];
  for (const one of silent) t.equal((await exec('host-local', 'DEL', one)).code, 0);
  t.equal((await exec('host-local', 'DEL', { ...env, TRACEPARENT: 'nonsense' })).code, 0);
  await until('the last one', () => received.length === 2);
  t.not(received[1]!.spans[0]!.traceId, TRACE);
});

t.test(
  'a collector that is away or never answers fails no call, and the agent answers before it',
  async t => {
    const { exec, socket, config } = await setUp(t);
    const asleep = createServer(() => {});
    await new Promise<void>(done => asleep.listen(0, '127.0.0.1', done));
    t.teardown(() => asleep.close());
    const { port } = asleep.address() as AddressInfo;
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` };
    const slow = await exec('host-local', 'ADD', env);
    t.match(slow, {
      code: 0,
      stdout: /10\.1\.0\.2/,
      stderr: /trace: no answer of 127\.0\.0\.1:\d+ within 200 ms/,
    });
    const away = await exec('host-local', 'ADD', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }, 'c2');
    t.match(away, { code: 0, stdout: /10\.1\.0\.3/, stderr: /trace: .*ECONNREFUSED/ });
    const agent = await serveCni(socket, testHost(), `${socket}-calls`);
    t.teardown(() => agent.close());
    const served = await exec('host-local', 'ADD', env, 'c3');
    t.match(served, { code: 0, stdout: /10\.1\.0\.4/, stderr: '' });

    const lines: string[] = [];
    let stdout = '';
    const streams = {
      env: { ...attachment('ADD', { CNI_CONTAINERID: 'c4' }), ...env },
      stdin: () => JSON.stringify(config),
      stdout: (text: string) => {
        stdout += text;
      },
      stderr: () => {},
    };
    const host = testHost(lines);
    const { status, exported } = await runTraced((await host.own('host-local'))!, streams, host);
    t.match({ status, stdout, lines }, { status: 0, stdout: /10\.1\.0\.5/, lines: [] });
    const first = await Promise.race([exported.then(() => 'spans'), Promise.resolve('answer')]);
    t.equal(first, 'answer', 'the answer is out while the collector has not answered');
    await exported;
    t.match(lines, [/^trace: no answer of 127\.0\.0\.1:\d+ within 200 ms$/]);
  },
);

t.test('a span is sent although the event loop pauses for longer than the limit', async t => {
  const { received, endpoint, config } = await setUp(t);
  const pause = () =>
    process.nextTick(() => {
      for (const end = performance.now() + 400; performance.now() < end; );
    });
  subscribe('net.client.socket', pause);
  t.teardown(() => unsubscribe('net.client.socket', pause));
  const streams = {
    env: attachment('ADD', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }),
    stdin: () => JSON.stringify(config),
    stdout: () => {},
    stderr: () => {},
  };
  const host = testHost();
  await (await runTraced((await host.own('host-local'))!, streams, host)).exported;
  await until('the span', () => received.length === 1);
});

t.test('traceparent and the variables of the exporter', t => {
  const context = parseTraceParent(PARENT)!;
  t.equal(formatTraceParent(context), PARENT);
  t.match(parseTraceParent(PARENT.replace(/^00/, '01').concat('-more')), { traceId: TRACE, sampled: true });
  for (const wrong of [
    '',
    PARENT.slice(1),
    PARENT.toUpperCase(),
    `${PARENT}-more`,
    PARENT.replace(/^00/, 'ff'),
    PARENT.replace(TRACE, '0'.repeat(32)),
    PARENT.replace('b7ad6b7169203331', '0'.repeat(16)),
  ]) {
    t.equal(parseTraceParent(wrong), undefined, wrong);
  }
  const url = (env: Record<string, string>) => collectorOf(env)?.url;
  t.equal(url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://h:4318/' }), 'http://h:4318/v1/traces');
  t.equal(url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://h/base' }), 'https://h/base/v1/traces');
  t.equal(url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'h:4318' }), undefined);
  t.equal(url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://h' }), undefined);
  t.equal(url({}), undefined);
  t.strictSame(
    collectorOf({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://h', OTEL_EXPORTER_OTLP_HEADERS: ' a = b%2 ,,x y=1' })
      ?.headers,
    { a: 'b%2' },
  );
  t.end();
});

t.test('a clock that steps shifts no span', async t => {
  let [wall, clock] = [1_000_000, 500];
  const log = new SpanLog(
    () => wall,
    () => clock,
  );
  await log.record('bridge', {}, env =>
    log.record('host-local', env, async () => {
      wall -= 3_600_000;
      clock += 20;
    }),
  );
  t.match(log.spans, [
    { name: 'host-local ', began: 1_000_000, ended: 1_000_020 },
    { name: 'bridge ', began: 1_000_000, ended: 1_000_020 },
  ]);
});
