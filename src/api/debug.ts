import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FlowMonitor } from '../capture/flows/flow-monitor.ts';
import type { CaptureHub } from '../capture/live/capture-hub.ts';
import type { TraceNode } from '../diagnose/trace/node.ts';
import { answerCapture, type CapturePlace } from './capture.ts';
import { CAPTURE_PATH } from './capture-client.ts';
import { answerFlowLog, FLOW_LOG_PATH } from './flows.ts';
import { targetOf } from './listener.ts';
import { answerTrace, TRACE_PATH } from './trace.ts';

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

/** Answers, where the path is one of those. @returns settled when that is done; undefined: it is another path */
export function answerWatch(
  incoming: IncomingMessage,
  response: ServerResponse,
  watch: () => Watch,
): Promise<void> | undefined {
  const { path } = targetOf(incoming);
  const answer = ANSWERS[`${incoming.method} ${path}`];
  return answer?.(incoming, response, watch());
}

type WatchAnswer = (incoming: IncomingMessage, response: ServerResponse, watch: Watch) => Promise<void>;

const ANSWERS: Readonly<Record<string, WatchAnswer>> = {
  [`POST ${CAPTURE_PATH}`]: (incoming, response, watch) =>
    answerCapture(incoming, response, watch.captures ?? []),
  [`POST ${TRACE_PATH}`]: (incoming, response, watch) => answerTrace(incoming, response, watch.node),
  [`GET ${FLOW_LOG_PATH}`]: async (_incoming, response, watch) => answerFlowLog(response, watch.flows),
};
