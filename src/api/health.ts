import type { Server, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { Agent } from '../agent/agent.ts';
import type { ListenAddress } from '../agent/endpoints.ts';
import { codeOf, RipstopError } from '../base/errors.ts';
import { createListener, targetOf } from './listener.ts';
import { createRegistry } from './metrics.ts';
import { stuckWorker } from './status.ts';

/** What a server answers: the probes, the metrics, or both. */
export interface Served {
  readonly health: boolean;
  readonly metrics: boolean;
}

/**
 * Serves `/healthz` (200 while the event loop and all workers are responsive) and `/readyz` (200 while the overlay can
 * forward packets, otherwise 503 with one reason per line), and `/metrics` for Prometheus.
 * @throws RipstopError EADDRINUSE, EADDRNOTAVAIL
 */
export async function serveHealth(
  agent: Agent,
  { address, port }: ListenAddress,
  served: Served,
): Promise<Server> {
  let registry: Registry | undefined;
  const paths = [...(served.health ? ['/healthz', '/readyz'] : []), ...(served.metrics ? ['/metrics'] : [])];
  const server = createListener(served.health ? 'health' : 'metrics', async (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return plain(response, 405, 'only GET\n');
    const { path } = targetOf(request);
    if (!paths.includes(path)) return plain(response, 404, `there is ${paths.join(', ')}\n`);
    if (path === '/healthz') return alive(response, stuckWorker(agent));
    if (path === '/readyz')
      return agent.readiness.isReady
        ? plain(response, 200, 'ready\n')
        : plain(response, 503, `${agent.readiness.reasons().join('\n')}\n`);
    registry ??= createRegistry(agent);
    return plain(response, 200, await registry.metrics(), registry.contentType);
  });
  const flag = served.health ? '--healthz-port' : '--metrics-address';
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: Error) =>
      reject(new RipstopError(codeOf(error, 'EADDRINUSE'), error.message, `choose another ${flag}`)),
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
