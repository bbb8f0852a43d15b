import { readFile } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { codeOf, describeError, RipstopError } from '../../base/errors.ts';
import { integer, listOf, readObject, required, text } from '../../base/schema.ts';
import { selectTarget } from '../capture.ts';
import { createListener, readJson, targetOf } from '../listener.ts';
import { isAllowedHost, isAuthorized, type WebOptions, webLink } from './access.ts';
import { type Asset, readAssets } from './assets.ts';
import { BufferedCapture } from './buffered-capture.ts';
import { History } from './history.ts';
import {
  CAPTURE_PATH,
  type CaptureRequest,
  type CaptureView,
  DOWNLOAD_PATH,
  type ErrorBody,
  RECORDING_PATH,
  VIEW_PATH,
} from './messages.ts';
import type { WebSource } from './source.ts';
import { viewOf } from './view.ts';

const BODY_MAX = 16384;

/** Allow own files only, nothing inline and no frames; send no referrer. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
} as const;

const requestFields = {
  device: required(text('a device', 'device of an overlay, empty for the first one')),
  points: required(listOf(text('the name of a point', 'point'), 'capture points, none for all')),
  verdicts: required(listOf(text('the name of a verdict', 'verdict'), 'verdicts, none for all')),
  peer: required(text('a peer', 'name or address of a peer, empty for all')),
  filter: required(text('a filter', "filter in tcpdump's language, empty for all")),
  snapLength: required(integer(0, 262_144, 'bytes to keep of a packet, 0 for all', 'bytes')),
  packets: required(integer(1, 20_000, 'packets after which it ends')),
};

/** The HTTP server of a node's web UI. */
export class WebServer {
  /** The link with its token. Only users of the agent's socket may see it. */
  readonly link: string;
  readonly #server: Server;
  readonly #source: WebSource;
  readonly #options: WebOptions;
  readonly #history: History;
  readonly #assets: ReadonlyMap<string, Asset>;
  #capture: BufferedCapture | undefined;
  #captures = 0;
  #starting: Promise<unknown> = Promise.resolve();

  /** @throws RipstopError EWEB, or the errno name of a refused listen */
  static async serve(source: WebSource, options: WebOptions): Promise<WebServer> {
    const assets = readAssets();
    let web: WebServer | undefined;
    const server = createListener('web', (request, response) => web?.answer(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', error =>
        reject(
          new RipstopError(
            codeOf(error, 'EWEB'),
            `web UI on ${options.address}:${options.port}: ${error.message}`,
          ),
        ),
      );
      server.listen(options.port, options.address, resolve);
    });
    web = new WebServer(server, source, options, assets);
    return web;
  }

  private constructor(
    server: Server,
    source: WebSource,
    options: WebOptions,
    assets: ReadonlyMap<string, Asset>,
  ) {
    this.#server = server;
    this.#source = source;
    this.#options = options;
    this.#assets = assets;
    this.#history = new History(() => source.counters());
    const { port } = server.address() as AddressInfo;
    this.link = webLink({ address: options.address, port }, options.token);
  }

  close(): void {
    this.#capture?.stop();
    this.#history.stop();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Answers one request. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isAllowedHost(request.headers.host, this.#options.hosts))
      return sendError(response, 421, {
        error: 'unknown host name',
        hint: 'open the IP address instead, or allow the name with --web-host',
      });
    const { path, query } = targetOf(request);
    const asset = this.#assets.get(path);
    if (asset && request.method === 'GET') return send(response, asset.type, asset.bytes);
    if (!isAuthorized(request.headers.authorization, this.#options.token)) {
      response.setHeader('www-authenticate', 'Bearer realm="ripstop"');
      return sendError(response, 401, {
        error: 'the token is missing or wrong',
        hint: '`ripstop ui` prints a link',
      });
    }
    try {
      await this.#ask(request, path, new URLSearchParams(query), response);
    } catch (error) {
      const { hint } = error as Partial<RipstopError>;
      const known = error instanceof RipstopError;
      const message = known ? error.message : describeError(error);
      sendError(response, known ? 400 : 500, { error: message, ...(hint ? { hint } : {}) });
    }
  }

  async #ask(
    request: IncomingMessage,
    path: string,
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const number = (name: string) => readNumber(query, name);
    switch (`${request.method} ${path}`) {
      case `GET ${VIEW_PATH}`:
        return json(response, await viewOf(this.#source, this.#history.after(number('since'))));
      case `GET ${CAPTURE_PATH}`:
        return json(response, this.#captured(number('id'), number('after')));
      case `POST ${CAPTURE_PATH}`: {
        const capture = readRequest(await readJson(request, BODY_MAX));
        // Sequential, so that two requests do not both replace the capture.
        const started = this.#starting.then(() => this.#start(capture));
        this.#starting = started.catch(() => undefined);
        await started;
        return json(response, this.#captured(0, 0));
      }
      case `DELETE ${CAPTURE_PATH}`:
        this.#capture?.stop();
        return json(response, {});
      case `GET ${DOWNLOAD_PATH}`:
        if (!this.#capture) return sendError(response, 404, { error: 'no capture yet' });
        return send(
          response,
          'application/octet-stream',
          this.#capture.file(this.#source.identity().version),
        );
      case `GET ${RECORDING_PATH}`: {
        const file = await this.#source.recordings.find(query.get('name') ?? '');
        if (file === undefined) return sendError(response, 404, { error: 'no such recording' });
        return send(response, 'application/octet-stream', await readFile(file));
      }
      default:
        return sendError(response, 404, { error: 'not found' });
    }
  }

  #captured(id: number, after: number): CaptureView | null {
    return this.#capture?.view(id === this.#captures ? after : 0) ?? null;
  }

  async #start(request: CaptureRequest): Promise<void> {
    const { captures, pods } = this.#source.debug();
    const { hub } = selectTarget(captures, request.device || undefined, undefined);
    this.#capture?.stop();
    this.#capture = await BufferedCapture.start(this.#captures + 1, request, hub, pods);
    this.#captures++;
  }
}

/** A number of the query, 0 if it is absent. @throws RipstopError ECONFIG */
function readNumber(query: URLSearchParams, name: string): number {
  const written = query.get(name) ?? '0';
  if (!/^\d{1,15}$/.test(written))
    throw new RipstopError('ECONFIG', `${name} "${written}" is not an integer`);
  return Number(written);
}

function readRequest(value: unknown): CaptureRequest {
  const request = readObject(requestFields, value, 'capture');
  return { ...request, filter: request.filter.trim() };
}

function json(response: ServerResponse, value: unknown): void {
  send(response, 'application/json', Buffer.from(JSON.stringify(value)));
}

function sendError(response: ServerResponse, status: number, body: ErrorBody): void {
  if (response.headersSent) return void response.destroy();
  send(response, 'application/json', Buffer.from(JSON.stringify(body)), status);
}

function send(response: ServerResponse, type: string, bytes: Uint8Array, status = 200): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type, 'content-length': bytes.length });
  response.end(bytes);
}
