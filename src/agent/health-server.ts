import { createServer, type Server, type ServerResponse } from 'node:http';
import { RipstopError } from '../base/errors.ts';
import type { Agent } from './agent.ts';
import { createRegistry } from './metrics.ts';
import { stuckWorker } from './status.ts';

/**
 * `/healthz` (event loop and workers turn), `/readyz` (packets can flow, else 503 with a reason a line) and `/metrics` for
 * Prometheus.
 * @throws RipstopError EADDRINUSE, EADDRNOTAVAIL
 */
export async function serveHealth(agent: Agent, address: string, port: number): Promise<Server> {
  const registry = createRegistry(agent);
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return plain(response, 405, 'only GET\n');
    switch (new URL(request.url ?? '/', 'http://agent').pathname) {
      case '/healthz':
        return alive(response, stuckWorker(agent));
      case '/readyz':
        return agent.readiness.isReady
          ? plain(response, 200, 'ready\n')
          : plain(response, 503, `${agent.readiness.reasons().join('\n')}\n`);
      case '/metrics':
        registry.metrics().then(
          text => plain(response, 200, text, registry.contentType),
          error => plain(response, 500, `${error}\n`),
        );
        return;
      default:
        plain(response, 404, 'there are /healthz, /readyz and /metrics\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new RipstopError(
          error.code ?? 'EADDRINUSE',
          `health endpoints on ${address}:${port}: ${error.message}`,
          'choose another --healthz-port',
        ),
      ),
    );
    server.listen(port, address, resolve);
  });
  return server;
}

function alive(response: ServerResponse, stuck: string | undefined): void {
  if (stuck === undefined) plain(response, 200, 'ok\n');
  else plain(response, 503, `${stuck}\n`);
}

function plain(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type });
  response.end(text);
}
