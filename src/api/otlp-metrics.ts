import type { Agent } from '../agent/agent.ts';
import { contain } from '../base/boundary.ts';
import { withoutCredentials } from '../base/credentials.ts';
import { describeError, RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { readPairs } from '../base/otlp-pairs.ts';
import { type LagProbe, lagProbe, METRICS, type Metric } from './metrics.ts';

/*
 * The metrics of the agent as OTLP over HTTP in JSON, pushed to a collector: the same table as `/metrics`, under the same
 * names. Format: opentelemetry-proto 1.x, the JSON mapping of its protocol buffers; variables: OpenTelemetry's
 * "OTLP Exporter Configuration".
 */

export interface OtlpOptions {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs: number;
  /** What the numbers are of: `service.name`, `k8s.node.name` and such. */
  readonly resource: Readonly<Record<string, string>>;
}

type Variables = Readonly<Record<string, string | undefined>>;

const INTERVAL_MS = 60_000;
/** A timer with more fires at once. */
const INTERVAL_MAX_MS = 2 ** 31 - 1;
const TIMEOUT_MS = 10_000;
/** A node that ends does not wait for a collector that is away. */
const LAST_TIMEOUT_MS = 500;
/** Sums are since the start: AGGREGATION_TEMPORALITY_CUMULATIVE. */
const CUMULATIVE = 2;

/** What OpenTelemetry's variables say; undefined where no endpoint is configured. @throws RipstopError ECONFIG */
export function otlpOptions(env: Variables, node: string): OtlpOptions | undefined {
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const own = env.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT;
  if ((!base && !own) || /^true$/i.test(env.OTEL_SDK_DISABLED ?? '')) return undefined;
  if (env.OTEL_METRICS_EXPORTER === 'none') return undefined;
  const protocol = env.OTEL_EXPORTER_OTLP_METRICS_PROTOCOL ?? env.OTEL_EXPORTER_OTLP_PROTOCOL ?? 'http/json';
  if (protocol !== 'http/json')
    throw new RipstopError(
      'ECONFIG',
      `OTEL_EXPORTER_OTLP_PROTOCOL: "${protocol}" is not spoken here`,
      'every collector takes http/json on the port of its HTTP receiver, 4318',
    );
  const endpoint = own || `${base!.replace(/\/+$/, '')}/v1/metrics`;
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint))
    throw new RipstopError(
      'ECONFIG',
      `OTEL_EXPORTER_OTLP_ENDPOINT: ${JSON.stringify(withoutCredentials(own || base!))} is no address`,
      'it is one like http://collector:4318',
    );
  const interval = Number(env.OTEL_METRIC_EXPORT_INTERVAL || INTERVAL_MS);
  if (!(interval >= 100 && interval <= INTERVAL_MAX_MS))
    throw new RipstopError(
      'ECONFIG',
      `OTEL_METRIC_EXPORT_INTERVAL: it takes milliseconds, 100..${INTERVAL_MAX_MS}`,
    );
  return {
    endpoint: withoutCredentials(endpoint),
    headers: {
      ...basicAuthorization(new URL(endpoint)),
      ...readPairs(env.OTEL_EXPORTER_OTLP_METRICS_HEADERS ?? env.OTEL_EXPORTER_OTLP_HEADERS),
    },
    intervalMs: interval,
    resource: {
      'service.name': 'ripstop',
      'service.instance.id': node,
      'host.name': node,
      ...readPairs(env.OTEL_RESOURCE_ATTRIBUTES),
      ...(env.OTEL_SERVICE_NAME ? { 'service.name': env.OTEL_SERVICE_NAME } : {}),
    },
  };
}

/** What `user:password@` in a URL means; fetch refuses such a URL. */
function basicAuthorization({ username, password }: URL): Record<string, string> {
  if (!username && !password) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** Pushes the metrics once an interval, and once more at the end. A collector that is away is said once. */
export class OtlpMetrics {
  readonly #agent: Agent;
  readonly #options: OtlpOptions;
  readonly #version: string;
  readonly #log: Log;
  readonly #lag: LagProbe = lagProbe();
  readonly #startedAt = Date.now();
  readonly #timer: NodeJS.Timeout;
  #isAway = false;

  constructor(agent: Agent, options: OtlpOptions, version: string, log: Log) {
    this.#agent = agent;
    this.#options = options;
    this.#version = version;
    this.#log = log;
    // A collector that is slow is given up before it is asked again.
    this.#timer = setInterval(
      () => contain('otlp', () => this.#push(Math.min(TIMEOUT_MS, options.intervalMs))),
      options.intervalMs,
    );
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#push(LAST_TIMEOUT_MS);
  }

  async #push(timeoutMs: number): Promise<void> {
    const { endpoint, headers, resource } = this.#options;
    try {
      const body = metricsBody(this.#agent, this.#lag, {
        resource,
        version: this.#version,
        startedAt: this.#startedAt,
        now: Date.now(),
      });
      const response = await fetch(endpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      if (this.#isAway) this.#log.info({ endpoint }, 'the collector takes metrics again');
      this.#isAway = false;
    } catch (error) {
      if (!this.#isAway)
        this.#log.warn({ endpoint }, `metrics do not reach the collector: ${describeCause(error)}`);
      this.#isAway = true;
    }
  }
}

/** `fetch failed` hides what happened in its cause. */
function describeCause(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return describeError(cause ?? error);
}

/** ExportMetricsServiceRequest. */
export function metricsBody(
  agent: Agent,
  lag: LagProbe,
  {
    resource,
    version,
    startedAt,
    now,
  }: Pick<OtlpOptions, 'resource'> & { version: string; startedAt: number; now: number },
) {
  const metrics = METRICS.map(metric => {
    const points = [...metric.read(agent, lag)].map(([values, number]) => ({
      attributes: attributesOf(
        Object.fromEntries(metric.labels.map((label, at) => [label, values[at] ?? ''])),
      ),
      startTimeUnixNano: nanoseconds(startedAt),
      timeUnixNano: nanoseconds(now),
      asDouble: number,
    }));
    return { metric, points };
  });
  return {
    resourceMetrics: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeMetrics: [
          {
            scope: { name: 'ripstop', version },
            metrics: metrics.filter(({ points }) => points.length > 0).map(describe),
          },
        ],
      },
    ],
  };
}

function describe({ metric, points }: { metric: Metric; points: readonly object[] }) {
  const { name, help, kind } = metric;
  const head = { name, description: help, unit: unitOf(name) };
  return kind === 'gauge'
    ? { ...head, gauge: { dataPoints: points } }
    : { ...head, sum: { dataPoints: points, aggregationTemporality: CUMULATIVE, isMonotonic: true } };
}

/** In UCUM's letters. */
function unitOf(name: string): string {
  if (name.endsWith('_seconds')) return 's';
  return /_bytes(_total)?$/.test(name) ? 'By' : '1';
}

function attributesOf(values: Readonly<Record<string, string>>) {
  return Object.entries(values).map(([key, value]) => ({ key, value: { stringValue: value } }));
}

/** 64-bit numbers are text in this JSON. */
function nanoseconds(ms: number): string {
  return `${ms}000000`;
}
