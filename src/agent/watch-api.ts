import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FlowMonitor } from '../capture/flows/flow-monitor.ts';
import type { CaptureHub } from '../capture/session.ts';
import { answerCapture, type CapturePlace } from './capture-api.ts';
import { CAPTURE_PATH } from './capture-client.ts';
import { answerFlowLog, FLOW_LOG_PATH } from './flows-api.ts';
import type { TraceNode } from './trace/node.ts';
import { answerTrace, TRACE_PATH } from './trace-api.ts';

/** By which a node lets its packets be watched; captures and flows only where the kernel does not carry them. */
export interface Watch {
  /** The first of `captures`. */
  readonly hub: CaptureHub | undefined;
  readonly captures?: readonly CapturePlace[];
  readonly flows: readonly FlowMonitor[];
  /** Undefined while there is no overlay. */
  readonly node?: TraceNode | undefined;
}

/** What `answerWatch` answers, for people. */
export const WATCH_PATHS = `POST ${CAPTURE_PATH}, ${TRACE_PATH}, GET ${FLOW_LOG_PATH}`;

/** Answers, where the path is one of those. @returns false when it is another one */
export function answerWatch(incoming: IncomingMessage, response: ServerResponse, watch: Watch): boolean {
  const { method, url } = incoming;
  if (method === 'POST' && url === CAPTURE_PATH) void answerCapture(incoming, response, watch.captures ?? []);
  else if (method === 'GET' && url === FLOW_LOG_PATH) answerFlowLog(response, watch.flows);
  else if (method === 'POST' && url === TRACE_PATH) void answerTrace(incoming, response, watch.node);
  else return false;
  return true;
}
