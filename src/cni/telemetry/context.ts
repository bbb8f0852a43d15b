import { randomBytes } from 'node:crypto';

/** The position of a span in a trace, as in the variable TRACEPARENT (W3C Trace Context, "traceparent"). */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** 16 hexadecimal digits. */
  spanId: string;
  /** False when the trace is not to be recorded. */
  sampled: boolean;
}

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** @returns undefined for a malformed value, which the standard says to ignore; a new trace begins then */
export function parseTraceParent(text: string | undefined): TraceContext | undefined {
  const [, version, traceId, spanId, flags, rest] = FORM.exec(text ?? '') ?? [];
  if (!version || !traceId || !spanId || !flags || version === 'ff' || (version === '00' && rest))
    return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceParent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** A span below `parent`, or the first of a trace. */
export function childOf(parent: TraceContext | undefined): TraceContext {
  const spanId = randomBytes(8).toString('hex');
  return parent ? { ...parent, spanId } : { traceId: randomBytes(16).toString('hex'), spanId, sampled: true };
}
