import { hostname } from 'node:os';
import { type OtlpEndpoint, otlpAttributes, otlpEndpoint, otlpTime } from '../../base/otlp.ts';
import { given } from '../result/types.ts';
import type { Environment } from '../skel/environment.ts';
import type { Span } from './spans.ts';

/** Where spans go. */
export interface Collector extends OtlpEndpoint {
  service: string;
}

/** The collector that the variables name. @returns undefined without one or with an invalid one: a call never fails for that */
export function collectorOf(env: Environment): Collector | undefined {
  try {
    const endpoint = otlpEndpoint(env, 'traces');
    return endpoint && { ...endpoint, service: env.OTEL_SERVICE_NAME || 'ripstop-cni' };
  } catch {
    return undefined;
  }
}

const SPAN_KIND_INTERNAL = 1;
const STATUS_ERROR = 2;

/** The body of a request: ExportTraceServiceRequest. */
export function encodeSpans(spans: readonly Span[], service: string): object {
  const resource = { attributes: otlpAttributes({ 'service.name': service, 'host.name': hostname() }) };
  return {
    resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'ripstop' }, spans: spans.map(encodeSpan) }] }],
  };
}

function encodeSpan({ context, parentSpanId, state, name, attributes, began, ended, error }: Span): object {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...given({ parentSpanId, traceState: state }),
    name,
    kind: SPAN_KIND_INTERNAL,
    startTimeUnixNano: otlpTime(began),
    endTimeUnixNano: otlpTime(ended),
    attributes: otlpAttributes({ ...attributes, ...(error ? { 'cni.error_code': error.code } : {}) }),
    status: error ? { code: STATUS_ERROR, message: error.message } : {},
  };
}
