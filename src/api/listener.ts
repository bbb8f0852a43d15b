import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { contained } from '../base/boundary.ts';
import { describeError, RipstopError } from '../base/errors.ts';
import { parseJson } from '../base/schema.ts';

/** Answers one request. What it throws, or rejects with, is answered with 500. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Time for the header fields, and for the whole request, ms. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
/** How often those times are compared with the connections, ms. */
const CHECK_MS = 5000;
/** A connection on which nothing moves is closed after this time, ms; not where answers are streams. */
const IDLE_MS = 60_000;
/** Connections at once. */
const CONNECTIONS_MAX = 128;

/**
 * An HTTP server with its own error boundary: no request, connection or handler can raise an error outside it. Slow
 * requests time out, and when there are too many connections the oldest idle one is closed.
 * @param part name of the listener in the log and in ripstop_contained_errors_total
 * @param hasStreams answers may be silent for any time (captures)
 */
export function createListener(part: string, handler: Handler, { hasStreams = false } = {}): Server {
  const busy = new Set<Socket>();
  const server = createServer({ connectionsCheckingInterval: CHECK_MS }, (request, response) => {
    const { socket } = request;
    busy.add(socket);
    response.on('close', () => busy.delete(socket));
    // The client may close the connection during the response.
    response.on('error', error => contained(part, error));
    const fail = (error: unknown): void => {
      contained(part, error);
      answerFailure(response);
    };
    try {
      Promise.resolve(handler(request, response)).catch(fail);
    } catch (error) {
      fail(error);
    }
  });
  server.headersTimeout = HEADERS_MS;
  server.requestTimeout = REQUEST_MS;
  if (!hasStreams) server.timeout = IDLE_MS;
  limitConnections(server, busy);
  // accept(2) may fail (EMFILE); the server continues to listen.
  server.on('error', error => {
    if (server.listening) contained(part, error);
  });
  return server;
}

/** A new connection replaces the oldest idle one: idle connections cannot block others. */
function limitConnections(server: Server, busy: ReadonlySet<Socket>): void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    if (open.size <= CONNECTIONS_MAX) return;
    const idle = [...open].find(one => one !== socket && !busy.has(one));
    (idle ?? socket).destroy();
  });
}

function answerFailure(response: ServerResponse): void {
  try {
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' }).end('internal error\n');
  } catch {
    response.destroy();
  }
}

/** Path and query of a request's target, also of the absolute form that RFC 9112 section 3.2.2 has servers accept. */
export function targetOf(request: IncomingMessage): { path: string; query: string } {
  const relative = (request.url ?? '').replace(/^https?:\/\/[^/?#]*/i, '');
  const at = relative.indexOf('?');
  if (at === -1) return { path: relative || '/', query: '' };
  return { path: relative.slice(0, at) || '/', query: relative.slice(at + 1) };
}

/** The JSON body of a request. @param maxBytes of the body @throws RipstopError ECONFIG */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > maxBytes) throw new RipstopError('ECONFIG', `a request of more than ${maxBytes} bytes`);
  }
  return parseJson(body, 'request');
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** Answers with an error: 400 for what the caller can correct, otherwise 500. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (error instanceof RipstopError) {
    const { code, message, hint } = error;
    sendJson(response, 400, { code, error: message, hint });
  } else sendJson(response, 500, { error: describeError(error) });
}
