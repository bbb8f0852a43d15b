import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FlowMonitor } from '../capture/flows/flow-monitor.ts';
import type { CaptureHub } from '../capture/session.ts';
import { answerCapture } from './capture-api.ts';
import { CAPTURE_PATH } from './capture-client.ts';
import { answerFlowLog, FLOW_LOG_PATH } from './flows-api.ts';

/** By which a node lets its packets be watched; nothing where the kernel carries them. */
export interface Watch {
  readonly hub: CaptureHub | undefined;
  readonly flows: readonly FlowMonitor[];
}

/** What `answerWatch` answers, for people. */
export const WATCH_PATHS = `POST ${CAPTURE_PATH}, GET ${FLOW_LOG_PATH}`;

/** Answers with a stream, where the path is one of those. @returns false when it is another one */
export function answerWatch(incoming: IncomingMessage, response: ServerResponse, watch: Watch): boolean {
  const { method, url } = incoming;
  if (method === 'POST' && url === CAPTURE_PATH) void answerCapture(incoming, response, watch.hub);
  else if (method === 'GET' && url === FLOW_LOG_PATH) answerFlowLog(response, watch.flows);
  else return false;
  return true;
}
