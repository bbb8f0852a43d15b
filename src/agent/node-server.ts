import { createServer, type Server } from 'node:http';
import { answerGet } from './api-answers.ts';
import { listenOn } from './api-server.ts';
import { hubOf } from './capture-api.ts';
import { flowsOf, monitorOf, readFlowsQuery } from './flows-api.ts';
import type { OverlayNode } from './node/node.ts';
import { answerWatch, WATCH_PATHS, type Watch } from './watch-api.ts';

/**
 * Serves what a node without an agent lets be looked at, and nothing else, on a unix socket: captures and flows.
 * @throws RipstopError EINUSE, ESOCKET
 */
export async function serveNode(path: string, node: OverlayNode): Promise<Server> {
  // The data plane is another one after its device was taken away.
  const watch = (): Watch => ({
    hub: hubOf(node.plane),
    flows: [monitorOf(node.plane, node.settled.config.device)],
  });
  const answers = {
    '/flows': (query: URLSearchParams) => flowsOf(watch().flows, readFlowsQuery(query)),
  };
  const server = createServer((incoming, response) => {
    if (!answerWatch(incoming, response, watch())) answerGet(incoming, response, answers, WATCH_PATHS);
  });
  await listenOn(server, path);
  return server;
}
