import http from 'node:http';
import https from 'node:https';
import { pause } from '../../../base/backoff.ts';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import { type Fields, integer, openObject, readJson, type Shape, text } from '../../../base/schema.ts';
import type { KubeAccess } from './access.ts';

/** An error of the API server: its HTTP status, and the reason of its Status object. */
export class KubeError extends RipstopError {
  readonly status: number;
  readonly reason: string;

  /** Value of the header Retry-After. */
  readonly retryAfter: string | undefined;

  constructor(status: number, reason: string, what: string, retryAfter?: string) {
    const hint =
      status === 403 || status === 401 ? 'check the ClusterRole and the token of the agent' : undefined;
    // A server that is overloaded or not yet up counts as unreachable.
    super(status >= 500 || status === 429 ? 'ESTORE' : 'EREFUSED', what, hint);
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

const JSON_OBJECTS = 'application/json';
export const METADATA_ONLY =
  'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
const STRATEGIC_MERGE = 'application/strategic-merge-patch+json';
/** Attempts of one call while the server answers "too many requests" or "conflict". */
const ATTEMPTS = 5;
const LONGEST_RETRY_AFTER_S = 30;

/** The part of a Status object that messages are made of. */
export const STATUS_FIELDS = {
  code: integer(0, 999, 'HTTP status'),
  reason: text('a word', 'machine-readable reason'),
  message: text('a text', 'for people'),
};

interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
  readonly accept?: string;
}

/** The API server as plain HTTP: JSON requests, and a stream of JSON lines for watches. */
export class KubeHttp {
  readonly #access: KubeAccess;
  readonly #agent: http.Agent;
  readonly #abort = new AbortController();
  readonly #timeoutMs: number;

  constructor(access: KubeAccess, timeoutMs = 10_000) {
    this.#access = access;
    this.#timeoutMs = timeoutMs;
    const { ca, cert, key, insecure } = access;
    const tls = {
      ...(ca ? { ca } : {}),
      ...(cert ? { cert } : {}),
      ...(key ? { key } : {}),
      rejectUnauthorized: !insecure,
    };
    this.#agent =
      access.url.protocol === 'https:'
        ? new https.Agent({ keepAlive: true, ...tls })
        : new http.Agent({ keepAlive: true });
  }

  get location(): string {
    return this.#access.url.origin;
  }

  /**
   * @param fields of the answer; other keys are ignored
   * @param accept METADATA_ONLY for a list of objects without spec and status: a fraction of the bytes
   */
  async get<F extends Fields>(path: string, fields: F, accept = JSON_OBJECTS): Promise<Shape<F>> {
    return this.#read(fields, path, await this.#retry({ method: 'GET', path, accept }));
  }

  async post(path: string, body: object): Promise<void> {
    await this.#retry({ method: 'POST', path, body, contentType: JSON_OBJECTS });
  }

  /** Strategic merge patch: lists such as conditions are merged by their key, not replaced. */
  async patch<F extends Fields>(path: string, body: object, fields: F): Promise<Shape<F>> {
    return this.#read(
      fields,
      path,
      await this.#retry({ method: 'PATCH', path, body, contentType: STRATEGIC_MERGE }),
    );
  }

  /**
   * Opens a watch. Yields each JSON line as it comes; ends when the server ends it. Throws KubeError for an answer
   * other than 200, and an ESTORE when the connection breaks or stays silent for `silenceMs`.
   */
  async *watch<F extends Fields>(
    path: string,
    fields: F,
    signal: AbortSignal,
    silenceMs: number,
  ): AsyncGenerator<Shape<F>> {
    const response = await this.#send({ method: 'GET', path }, signal, silenceMs);
    let rest = '';
    try {
      for await (const chunk of response.setEncoding('utf8')) {
        rest += chunk;
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.trim() !== '') yield this.#read(fields, path, line);
      }
    } catch (error) {
      throw this.#broken(error);
    } finally {
      response.destroy();
    }
  }

  /** Ends every connection; calls on them fail, and their callers retry. */
  reconnect(): void {
    this.#agent.destroy();
  }

  close(): void {
    this.#abort.abort();
    this.#agent.destroy();
  }

  /** Repeats what the server asks to be repeated: 429 and 503 with Retry-After, 409 on a patch. */
  async #retry(call: Call): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.#send(call, this.#abort.signal, this.#timeoutMs);
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        return text;
      } catch (error) {
        const waitS =
          error instanceof KubeError
            ? retryAfterSeconds(error.status, error.retryAfter, call.method)
            : undefined;
        if (waitS === undefined || attempt === ATTEMPTS || this.#abort.signal.aborted)
          throw error instanceof RipstopError ? error : this.#broken(error);
        await pause(waitS * 1000 + Math.random() * 100 * attempt, this.#abort.signal);
      }
    }
  }

  async #send(call: Call, signal: AbortSignal, silenceMs: number): Promise<http.IncomingMessage> {
    const { method, path, contentType, accept = JSON_OBJECTS } = call;
    const { url, token } = this.#access;
    const body = call.body && JSON.stringify(call.body);
    const headers: Record<string, string> = { accept, 'user-agent': 'ripstop' };
    if (token) headers.authorization = `Bearer ${token()}`;
    if (contentType !== undefined) headers['content-type'] = contentType;
    if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
    const send = url.protocol === 'https:' ? https.request : http.request;
    const whole = new URL(url.pathname.replace(/\/$/, '') + path, url);
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = send(whole, { method, headers, agent: this.#agent, signal }, resolve);
      request.setTimeout(silenceMs, () =>
        request.destroy(new Error(`no answer within ${silenceMs / 1000} s`)),
      );
      request.on('error', error => reject(this.#broken(error)));
      request.end(body);
    });
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    throw await readFailure(response, `${method} ${path.split('?')[0]}`);
  }

  /** @throws RipstopError ESTORE: what answers is not an API server, or one that we do not understand */
  #read<F extends Fields>(fields: F, path: string, text: string): Shape<F> {
    try {
      return readJson(openObject(fields, ''), text, path.replace(/\?.*/, ''));
    } catch (error) {
      throw new RipstopError('ESTORE', `API server ${this.location}: unexpected answer: ${messageOf(error)}`);
    }
  }

  #broken(error: unknown): RipstopError {
    if (error instanceof RipstopError) return error;
    return new RipstopError(
      'ESTORE',
      `API server ${this.location}: ${messageOf(error)}`,
      'is it up, and is its address right?',
      { cause: error },
    );
  }
}

async function readFailure(response: http.IncomingMessage, what: string): Promise<KubeError> {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  let reason = '';
  let message = body.slice(0, 200);
  try {
    const status = readJson(openObject(STATUS_FIELDS, ''), body, 'Status');
    reason = status.reason ?? '';
    message = status.message ?? message;
  } catch {
    // A proxy in between answers in plain text.
  }
  const { statusCode = 0, headers } = response;
  return new KubeError(statusCode, reason, `${what}: ${statusCode} ${message}`, headers['retry-after']);
}

/**
 * Seconds to wait before the same call may be tried again; undefined: it is final.
 * @param header value of Retry-After, in seconds; a date counts as absent
 */
export function retryAfterSeconds(
  status: number,
  header: string | undefined,
  method: string,
): number | undefined {
  const asked = Number(header) > 0 ? Math.min(Number(header), LONGEST_RETRY_AFTER_S) : undefined;
  if (status === 429) return asked ?? 1;
  if (status === 503) return asked;
  if (status === 409 && method === 'PATCH') return 0.05;
  return undefined;
}
