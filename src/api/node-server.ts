import type { Server } from 'node:http';
import type { OverlayNode } from '../agent/node/node.ts';
import { nodeOfRun } from '../diagnose/trace/node.ts';
import { hubOf, targetsOf } from './capture.ts';
import { CAPTURES_PATH } from './client.ts';
import { flowsOf, monitorOf, readFlowsQuery } from './flows.ts';
import { createListener } from './listener.ts';
import { type DebugApi, handleRequest } from './routes.ts';
import { listenOn } from './server.ts';
import type { WebLink } from './web/messages.ts';

/**
 * Serves what a node without an agent lets be looked at, and nothing else, on a unix socket: captures, flows,
 * traces, and the link of its web UI.
 * @throws RipstopError EINUSE, ESOCKET
 */
export async function serveNode(path: string, node: OverlayNode, web: () => WebLink): Promise<Server> {
  const handlers = {
    '/web': web,
    [CAPTURES_PATH]: () => targetsOf(nodeWatch(node).captures),
    '/flows': (query: URLSearchParams) => flowsOf(nodeWatch(node).flows, readFlowsQuery(query)),
  };
  const server = createListener(
    'socket',
    (incoming, response) => handleRequest(incoming, response, handlers, () => nodeWatch(node)),
    { hasStreams: true },
  );
  await listenOn(server, path);
  return server;
}

/** The data plane as it is now: it is another one after its device was taken away. */
export function nodeWatch(node: OverlayNode): DebugApi {
  const { plane, settled } = node;
  const { device } = settled.config;
  const hub = hubOf(plane);
  return {
    captures: [{ device, families: [4, 6], hub }],
    flows: [monitorOf(plane, device)],
    node: nodeOfRun(node),
  };
}
