import { createServer, type Server } from 'node:http';
import { answerGet } from './api-answers.ts';
import { listenOn } from './api-server.ts';
import { answerCapture, hubOf } from './capture-api.ts';
import { CAPTURE_PATH } from './capture-client.ts';
import { flowsOf, monitorOf, readFlowsQuery } from './flows-api.ts';
import type { OverlayNode } from './node/node.ts';

/**
 * Serves what a node without an agent lets be looked at, and nothing else, on a unix socket: captures and flows.
 * @throws RipstopError EINUSE, ESOCKET
 */
export async function serveNode(path: string, node: OverlayNode): Promise<Server> {
  // The data plane is another one after its device was taken away.
  const answers = {
    '/flows': (query: URLSearchParams) =>
      flowsOf([{ device: node.settled.config.device, flows: monitorOf(node.plane) }], readFlowsQuery(query)),
  };
  const server = createServer((incoming, response) => {
    if (incoming.method === 'POST' && incoming.url === CAPTURE_PATH)
      void answerCapture(incoming, response, hubOf(node.plane));
    else answerGet(incoming, response, answers, `POST ${CAPTURE_PATH}`);
  });
  await listenOn(server, path);
  return server;
}
