import { createServer, type Server } from 'node:http';
import type { CaptureHub } from '../capture/session.ts';
import { listenOn } from './api-server.ts';
import { answerCapture } from './capture-api.ts';
import { CAPTURE_PATH } from './capture-client.ts';

/**
 * Serves captures, and nothing else, on a unix socket: what a node without an agent offers to `ripstop capture`.
 * @param hub of the data plane as it is now; it may be another one after a restart
 * @throws RipstopError EINUSE, ESOCKET
 */
export async function serveCapture(path: string, hub: () => CaptureHub): Promise<Server> {
  const server = createServer((incoming, response) => {
    if (incoming.method === 'POST' && incoming.url === CAPTURE_PATH)
      void answerCapture(incoming, response, hub());
    else
      response
        .writeHead(404, { 'content-type': 'application/json' })
        .end('{"error":"there is POST /capture"}');
  });
  await listenOn(server, path);
  return server;
}
