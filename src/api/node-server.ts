import type { Server } from 'node:http';
import type { OverlayNode } from '../agent/node/node.ts';
import { nodeOfRun } from '../diagnose/trace/node.ts';
import { answerGet } from './answers.ts';
import { hubOf, placesOf } from './capture.ts';
import { CAPTURES_PATH } from './capture-client.ts';
import { answerWatch, WATCH_PATHS, type Watch } from './debug.ts';
import { flowsOf, monitorOf, readFlowsQuery } from './flows.ts';
import { createListener } from './listener.ts';
import { listenOn } from './server.ts';
import type { WebLink } from './web/messages.ts';

/**
 * Serves what a node without an agent lets be looked at, and nothing else, on a unix socket: captures, flows,
 * traces, and the link of its web UI.
 * @throws RipstopError EINUSE, ESOCKET
 */
export async function serveNode(path: string, node: OverlayNode, web: () => WebLink): Promise<Server> {
  const answers = {
    '/web': web,
    [CAPTURES_PATH]: () => placesOf(nodeWatch(node).captures),
    '/flows': (query: URLSearchParams) => flowsOf(nodeWatch(node).flows, readFlowsQuery(query)),
  };
  const server = createListener(
    'socket',
    (incoming, response) =>
      answerWatch(incoming, response, () => nodeWatch(node)) ??
      answerGet(incoming, response, answers, WATCH_PATHS),
    { hasStreams: true },
  );
  await listenOn(server, path);
  return server;
}

/** The data plane as it is now: it is another one after its device was taken away. */
export function nodeWatch(node: OverlayNode): Watch {
  const { plane, settled } = node;
  const { device } = settled.config;
  const hub = hubOf(plane);
  return {
    hub,
    captures: [{ device, families: [4, 6], hub }],
    flows: [monitorOf(plane, device)],
    node: nodeOfRun(node),
  };
}
