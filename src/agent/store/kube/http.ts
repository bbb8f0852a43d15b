import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { pause } from '../../../base/backoff.ts';
import { hasCode, messageOf, RipstopError } from '../../../base/errors.ts';
import { type Fields, openObject, readJson, type Shape } from '../../../base/schema.ts';
import type { KubeAccess } from './access.ts';
import { RotatingCredentials } from './credentials.ts';
import { KubeError, readFailure, retryAfterSeconds } from './kube-error.ts';

const JSON_OBJECTS = 'application/json';
export const METADATA_ONLY =
  'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
const STRATEGIC_MERGE = 'application/strategic-merge-patch+json';
/** Attempts of one call while the server answers "too many requests" or "conflict". */
const ATTEMPTS = 5;

/** How long a call waits, ms. */
export interface TimeLimits {
  /** For a connection. */
  readonly connectMs: number;
  /** For the answer, and between two parts of it. */
  readonly callMs: number;
  /** The same for a list, and until a watch begins. */
  readonly listMs: number;
}

/**
 * A loaded server keeps a request in its queue for up to 15 s, and ends one that takes longer than 60 s
 * (--request-timeout): a client that gives up earlier makes it do the work again.
 */
export const TIME_LIMITS: TimeLimits = { connectMs: 10_000, callMs: 30_000, listMs: 65_000 };

interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
  readonly accept?: string;
  /** A list: it may be long and take long. */
  readonly isList?: boolean;
}

/** The API server as plain HTTP: JSON requests, and a stream of JSON lines for watches. */
export class KubeHttp {
  readonly #access: KubeAccess;
  readonly #agent: http.Agent;
  readonly #abort = new AbortController();
  readonly #limits: TimeLimits;
  readonly #credentials: RotatingCredentials;

  constructor(access: KubeAccess, limits = TIME_LIMITS) {
    this.#access = access;
    this.#limits = limits;
    // The options of each request decide which connections it may use, so that one agent serves all credentials.
    this.#agent = new (access.url.protocol === 'https:' ? https : http).Agent({ keepAlive: true });
    this.#credentials = new RotatingCredentials(access.credentials, () => this.#dropIdle());
  }

  get location(): string {
    return this.#access.url.origin;
  }

  /** @param fields of the answer; other keys are ignored */
  async get<F extends Fields>(path: string, fields: F): Promise<Shape<F>> {
    return this.#read(fields, path, await this.#retry({ method: 'GET', path }));
  }

  /** As `get`, of a list. @param accept METADATA_ONLY for objects without spec and status: a fraction of the bytes */
  async list<F extends Fields>(path: string, fields: F, accept = JSON_OBJECTS): Promise<Shape<F>> {
    return this.#read(fields, path, await this.#retry({ method: 'GET', path, accept, isList: true }));
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
   * @param opened called when the server has accepted the watch
   */
  async *watch<F extends Fields>(
    path: string,
    fields: F,
    signal: AbortSignal,
    silenceMs: number,
    opened: () => void,
  ): AsyncGenerator<Shape<F>> {
    const response = await this.#send({ method: 'GET', path }, signal, this.#limits.listMs);
    response.socket.setTimeout(silenceMs);
    let rest = '';
    try {
      opened();
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

  #dropIdle(): void {
    for (const sockets of Object.values(this.#agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }

  /** Repeats what the server asks to be repeated: 429 and 503 with Retry-After, 409 on a patch. */
  async #retry(call: Call): Promise<string> {
    const { listMs, callMs } = this.#limits;
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.#send(call, this.#abort.signal, call.isList ? listMs : callMs);
        let text = '';
        for await (const chunk of contentOf(response).setEncoding('utf8')) text += chunk;
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

  async #send(call: Call, signal: AbortSignal, answerMs: number): Promise<http.IncomingMessage> {
    const { method, path, contentType, accept = JSON_OBJECTS } = call;
    const { url, compress = true } = this.#access;
    const { tls, token } = this.#credentials.current();
    const body = call.body && JSON.stringify(call.body);
    const headers: Record<string, string> = { accept, 'user-agent': 'ripstop' };
    if (token) headers.authorization = `Bearer ${token}`;
    if (contentType !== undefined) headers['content-type'] = contentType;
    if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
    if (call.isList && compress) headers['accept-encoding'] = 'gzip';
    const whole = new URL(url.pathname.replace(/\/$/, '') + path, url);
    const tlsOptions = url.protocol === 'https:' ? tls : {};
    const options = { method, headers, agent: this.#agent, signal, ...tlsOptions };
    let response: http.IncomingMessage | undefined;
    while (response === undefined) response = await this.#exchange(whole, options, body, answerMs);
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    const { fault } = this.#credentials;
    throw await readFailure(response, contentOf(response), `${method} ${path.split('?')[0]}`, fault);
  }

  /** @returns undefined when the server had ended the connection that was used again: the request can be repeated */
  async #exchange(
    url: URL,
    options: https.RequestOptions,
    body: string | undefined,
    answerMs: number,
  ): Promise<http.IncomingMessage | undefined> {
    const isTls = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (isTls ? https : http).request(url, options, resolve);
      limitConnect(request, this.#limits.connectMs, isTls);
      request.setTimeout(answerMs, () => {
        const ms = request.socket?.timeout ?? answerMs;
        request.destroy(new Error(`no answer within ${ms / 1000} s`));
      });
      request.on('error', error => {
        // Every request may be made twice; an Event is then recorded twice at worst.
        const isStale = request.reusedSocket && hasCode(error, 'ECONNRESET', 'EPIPE');
        if (isStale && !options.signal?.aborted) resolve(undefined);
        else reject(this.#broken(error));
      });
      request.end(body);
    });
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
    const hint = /certificate|altnames/i.test(messageOf(error))
      ? 'is the CA file that of the cluster, and is the name in the certificate that of the URL (tls-server-name)?'
      : 'is it up, and is its address right?';
    return new RipstopError(
      'ESTORE',
      `API server ${this.location}: ${messageOf(error)}`,
      this.#credentials.fault ?? hint,
      { cause: error },
    );
  }
}

/** Ends a request that has no connection after `ms`: the limit of its answer may be much longer. */
function limitConnect(request: http.ClientRequest, ms: number, isTls: boolean): void {
  const timer = setTimeout(() => request.destroy(new Error(`no connection within ${ms / 1000} s`)), ms);
  const end = () => clearTimeout(timer);
  request.on('socket', socket => {
    if (socket.connecting) socket.once(isTls ? 'secureConnect' : 'connect', end);
    else end();
  });
  request.on('close', end);
}

/** The content of an answer, decompressed. */
function contentOf(response: http.IncomingMessage): Readable {
  if (response.headers['content-encoding'] !== 'gzip') return response;
  const plain = createGunzip();
  // An error of the response destroys `plain`, and so reaches its reader.
  pipeline(response, plain, () => {});
  return plain;
}
