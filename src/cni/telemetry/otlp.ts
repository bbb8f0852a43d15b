import { hostname } from 'node:os';
import { readPairs } from '../../base/otlp-pairs.ts';
import type { Environment } from '../skel/environment.ts';
import type { Span } from './spans.ts';

/*
 * The exporter of OpenTelemetry's protocol over HTTP in JSON, as far as spans need it, set up by the variables that every
 * OpenTelemetry exporter knows.
 */

/** Where spans go. */
export interface Collector {
  url: URL;
  headers: Record<string, string>;
  service: string;
}

/** The collector that the variables name; undefined when there is none, or it is no URL of HTTP. */
export function collectorOf(env: Environment): Collector | undefined {
  if (/^true$/i.test(env.OTEL_SDK_DISABLED ?? '') || env.OTEL_TRACES_EXPORTER === 'none') return undefined;
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const text = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || (base && `${base.replace(/\/$/, '')}/v1/traces`);
  if (!text || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const headers = env.OTEL_EXPORTER_OTLP_TRACES_HEADERS || env.OTEL_EXPORTER_OTLP_HEADERS || '';
  return { url, headers: readPairs(headers), service: env.OTEL_SERVICE_NAME || 'ripstop-cni' };
}

const SPAN_KIND_INTERNAL = 1;
const STATUS_ERROR = 2;

const attribute = (key: string, value: string | number) => ({
  key,
  value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value },
});

const nanoseconds = (ms: number) => String(BigInt(Math.round(ms * 1000)) * 1000n);

/** The body of a request (opentelemetry-proto, ExportTraceServiceRequest in its JSON form). */
export function encodeSpans(spans: readonly Span[], service: string): object {
  const resource = {
    attributes: [attribute('service.name', service), attribute('host.name', hostname())],
  };
  return {
    resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'ripstop' }, spans: spans.map(encodeSpan) }] }],
  };
}

function encodeSpan(span: Span): object {
  const { context, parentSpanId, state, plugin, command, error } = span;
  const texts = {
    'cni.plugin': plugin,
    'cni.command': command,
    'cni.container_id': span.containerId,
    'cni.ifname': span.ifname,
    'cni.netns': span.netns,
  };
  const attributes = Object.entries(texts)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => attribute(key, value));
  if (error) attributes.push(attribute('cni.error_code', error.code));
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(parentSpanId ? { parentSpanId } : {}),
    ...(state ? { traceState: state } : {}),
    name: `${plugin} ${command}`,
    kind: SPAN_KIND_INTERNAL,
    startTimeUnixNano: nanoseconds(span.began),
    endTimeUnixNano: nanoseconds(span.ended),
    attributes,
    status: error ? { code: STATUS_ERROR, message: error.message } : {},
  };
}

/**
 * Hands spans to the collector, in `limitMs` at most: a span that is lost is no reason to keep a pod waiting.
 * @returns why they did not arrive, undefined when they did
 * @throws TypeError for a header that HTTP does not take
 */
export async function sendSpans(
  collector: Collector,
  spans: readonly Span[],
  limitMs: number,
): Promise<string | undefined> {
  const began = performance.now();
  const { url, headers, service } = collector;
  const { request } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const body = JSON.stringify(encodeSpans(spans, service));
  return new Promise(resolve => {
    const own = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const call = request(url, { method: 'POST', headers: { ...headers, ...own }, agent: false });
    const end = (problem?: string) => {
      clearTimeout(timer);
      call.destroy();
      resolve(problem);
    };
    const timer = setTimeout(
      () => end(`no answer of ${url.host} within ${limitMs} ms`),
      Math.max(0, limitMs - (performance.now() - began)),
    );
    call.on('error', error => end(error.message));
    call.on('response', ({ statusCode = 0 }) =>
      end(statusCode >= 200 && statusCode < 300 ? undefined : `${url.host} answers ${statusCode}`),
    );
    call.end(body);
  });
}
