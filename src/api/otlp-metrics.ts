import type { Agent } from '../agent/agent.ts';
import { contain } from '../base/boundary.ts';
import { describeError, RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import {
  type OtlpEndpoint,
  otlpAttributes,
  otlpEndpoint,
  otlpTime,
  parseBaggage,
  postOtlp,
} from '../base/otlp.ts';
import { type LagProbe, lagProbe, METRICS, type Metric } from './metrics.ts';

/*
 * The metrics of the agent as OTLP over HTTP in JSON, pushed to a collector: the same table as `/metrics`, under the same
 * names.
 */

export interface OtlpOptions {
  readonly endpoint: OtlpEndpoint;
  readonly intervalMs: number;
  /** Attributes of the resource: `service.name`, `k8s.node.name` and such. */
  readonly resource: Readonly<Record<string, string>>;
}

type Variables = Readonly<Record<string, string | undefined>>;

const INTERVAL_MS = 60_000;
/** A timer with more fires at once. */
const INTERVAL_MAX_MS = 2 ** 31 - 1;
const TIMEOUT_MS = 10_000;
/** A node that ends does not wait for a collector that is unreachable. */
const LAST_TIMEOUT_MS = 500;
/** Sums are since the start: AGGREGATION_TEMPORALITY_CUMULATIVE. */
const CUMULATIVE = 2;

/** The values of OpenTelemetry's variables; undefined where no endpoint is configured. @throws RipstopError ECONFIG */
export function otlpOptions(env: Variables, node: string): OtlpOptions | undefined {
  const endpoint = otlpEndpoint(env, 'metrics');
  if (!endpoint) return undefined;
  const interval = Number(env.OTEL_METRIC_EXPORT_INTERVAL || INTERVAL_MS);
  if (!(interval >= 100 && interval <= INTERVAL_MAX_MS))
    throw new RipstopError(
      'ECONFIG',
      `OTEL_METRIC_EXPORT_INTERVAL: it takes milliseconds, 100..${INTERVAL_MAX_MS}`,
    );
  return {
    endpoint,
    intervalMs: interval,
    resource: {
      'service.name': 'ripstop',
      'service.instance.id': node,
      'host.name': node,
      ...parseBaggage(env.OTEL_RESOURCE_ATTRIBUTES),
      ...(env.OTEL_SERVICE_NAME ? { 'service.name': env.OTEL_SERVICE_NAME } : {}),
    },
  };
}

/** Pushes the metrics once per interval, and once at the end. That the collector is unreachable is logged once. */
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
    // A push ends before the next one begins.
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
    const { endpoint, resource } = this.#options;
    const { url } = endpoint;
    try {
      const body = metricsBody(this.#agent, this.#lag, {
        resource,
        version: this.#version,
        startedAt: this.#startedAt,
        now: Date.now(),
      });
      await postOtlp(endpoint, body, timeoutMs);
      if (this.#isAway) this.#log.info({ endpoint: url }, 'OTLP export works again');
      this.#isAway = false;
    } catch (error) {
      if (!this.#isAway)
        this.#log.warn({ endpoint: url }, `metrics do not reach the collector: ${describeError(error)}`);
      this.#isAway = true;
    }
  }
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
      attributes: otlpAttributes(
        Object.fromEntries(metric.labels.map((label, at) => [label, values[at] ?? ''])),
      ),
      startTimeUnixNano: otlpTime(startedAt),
      timeUnixNano: otlpTime(now),
      asDouble: number,
    }));
    return { metric, points };
  });
  return {
    resourceMetrics: [
      {
        resource: { attributes: otlpAttributes(resource) },
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
