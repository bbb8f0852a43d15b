import { withoutCredentials } from './credentials.ts';
import { RipstopError } from './errors.ts';

/*
 * OpenTelemetry's protocol over HTTP in JSON: the endpoint of a signal and the request. Each signal encodes its own body.
 * Format: opentelemetry-proto 1.x, the JSON mapping of its protocol buffers; variables: "OTLP Exporter Configuration".
 */

type Variables = Readonly<Record<string, string | undefined>>;

type OtlpSignal = 'metrics' | 'traces';

/** Where a signal goes. */
export interface OtlpEndpoint {
  /** Without credentials, which are in the headers. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The endpoint that OpenTelemetry's variables name; undefined where there is none. @throws RipstopError ECONFIG */
export function otlpEndpoint(env: Variables, signal: OtlpSignal): OtlpEndpoint | undefined {
  const ofSignal = (name: string) => env[`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${name}`];
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const own = ofSignal('ENDPOINT');
  const text = own || (base && `${base.replace(/\/+$/, '')}/v1/${signal}`);
  if (!text || /^true$/i.test(env.OTEL_SDK_DISABLED ?? '')) return undefined;
  if (env[`OTEL_${signal.toUpperCase()}_EXPORTER`] === 'none') return undefined;
  const protocol = ofSignal('PROTOCOL') ?? env.OTEL_EXPORTER_OTLP_PROTOCOL ?? 'http/json';
  if (protocol !== 'http/json')
    throw new RipstopError(
      'ECONFIG',
      `OTEL_EXPORTER_OTLP_PROTOCOL: "${protocol}" is not supported`,
      'every collector takes http/json on the port of its HTTP receiver, 4318',
    );
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw new RipstopError(
      'ECONFIG',
      `OTEL_EXPORTER_OTLP_ENDPOINT: ${JSON.stringify(withoutCredentials(own || base || ''))} is not an address`,
      'it is one like http://collector:4318',
    );
  return {
    url: withoutCredentials(text),
    headers: {
      ...basicAuthorization(new URL(text)),
      ...parseBaggage(ofSignal('HEADERS') ?? env.OTEL_EXPORTER_OTLP_HEADERS),
    },
  };
}

/** What `user:password@` in a URL means. */
function basicAuthorization({ username, password }: URL): Record<string, string> {
  if (!username && !password) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/**
 * The lists of OpenTelemetry's variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`), in the form of W3C Baggage:
 * `key=value,key=value`, the values percent-encoded. What is not a pair is ignored.
 */
export function parseBaggage(text = ''): Record<string, string> {
  const pairs = text.split(',').flatMap(pair => {
    const [, name, value = ''] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
    return name === undefined ? [] : [[name, decode(value)]];
  });
  return Object.fromEntries(pairs);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Attributes of a resource, a span or a point. Whole numbers are 64 bits wide, which JSON writes as text. */
export function otlpAttributes(values: Readonly<Record<string, string | number>>) {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value },
  }));
}

/** A time in nanoseconds, to the microsecond. @param ms since 1970 */
export function otlpTime(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}

/** Sends a body to the collector. @throws Error when it is not accepted within `timeoutMs` */
export async function postOtlp(
  { url, headers }: OtlpEndpoint,
  body: object,
  timeoutMs: number,
): Promise<void> {
  const began = performance.now();
  const { host, protocol } = new URL(url);
  // Loaded here: a CNI executable without a collector does not pay for it.
  const { request } = protocol === 'https:' ? await import('node:https') : await import('node:http');
  const text = JSON.stringify(body);
  const own = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  await new Promise<void>((resolve, reject) => {
    const call = request(url, { method: 'POST', headers: { ...headers, ...own }, agent: false });
    const end = (problem?: Error) => {
      clearTimeout(timer);
      call.destroy();
      if (problem) reject(problem);
      else resolve();
    };
    // A late event loop runs this timer before it sees that the connection is open; setImmediate lets the request be sent.
    const timer = setTimeout(
      () => setImmediate(end, new Error(`no answer of ${host} within ${timeoutMs} ms`)),
      Math.max(0, timeoutMs - (performance.now() - began)),
    );
    call.on('error', end);
    call.on('response', ({ statusCode = 0 }) =>
      end(statusCode >= 200 && statusCode < 300 ? undefined : new Error(`${host} answers ${statusCode}`)),
    );
    call.end(text);
  });
}
