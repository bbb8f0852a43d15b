import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Log, logLevels, setLogLevels } from '../base/log.ts';
import { readObject, required, text } from '../base/schema.ts';
import type { LiveNode } from '../diagnose/trace/live.ts';
import type { Answer, AnswerPath } from './answers.ts';
import { answerCapture, answerCaptureStop, type CaptureApi } from './capture.ts';
import {
  CAPTURE_PATH,
  CAPTURE_STOP_PATH,
  FLOW_LOG_PATH,
  LOG_LEVEL_PATH,
  RECORDER_PATH,
  RECORDING_PATH,
  TRACE_PATH,
} from './client.ts';
import { answerFlowLog, type FlowsApi } from './flows.ts';
import { readJson, sendError, sendJson, targetOf } from './listener.ts';
import { answerRecorderSwitch, answerRecording } from './recorder/requests.ts';
import { answerTrace } from './trace.ts';

const LEVELS_BODY_MAX = 4096;

/** What answers GET by path. An error that a handler throws is answered as well. */
export type GetHandlers = {
  readonly [P in AnswerPath]: (query: URLSearchParams) => Answer<P> | Promise<Answer<P>>;
};

/** What captures, flow logs and traces need of a node; captures and flows are empty where the kernel carries the packets. */
export interface DebugApi extends CaptureApi, FlowsApi {
  readonly pods: CaptureApi['pods'] & FlowsApi['pods'];
  /** Undefined while there is no overlay. */
  readonly node: LiveNode | undefined;
}

/** Answers a request to the agent's socket. @param debug what there is at the moment */
export async function handleRequest(
  incoming: IncomingMessage,
  response: ServerResponse,
  handlers: GetHandlers,
  debug: () => DebugApi,
  log: Log,
): Promise<void> {
  const { path, query } = targetOf(incoming);
  switch (`${incoming.method} ${path}`) {
    case `POST ${CAPTURE_PATH}`:
      return answerCapture(incoming, response, debug());
    case `POST ${CAPTURE_STOP_PATH}`:
      return answerCaptureStop(incoming, response);
    case `POST ${TRACE_PATH}`:
      return answerTrace(incoming, response, debug().node);
    case `POST ${LOG_LEVEL_PATH}`:
      return answerLogLevels(incoming, response, log);
    case `POST ${RECORDER_PATH}`:
      return answerRecorderSwitch(incoming, response, debug().captures);
    case `GET ${RECORDING_PATH}`:
      return answerRecording(response, debug().captures, new URLSearchParams(query));
    case `GET ${FLOW_LOG_PATH}`:
      return answerFlowLog(response, debug());
  }
  const isKnown = incoming.method === 'GET' && Object.hasOwn(handlers, path);
  const handler = isKnown ? handlers[path as AnswerPath] : undefined;
  if (!handler) {
    const known = [...Object.keys(handlers), RECORDING_PATH, FLOW_LOG_PATH].join(', ');
    const error = `unknown request; known are GET ${known} and POST ${CAPTURE_PATH}, ${TRACE_PATH}, ${RECORDER_PATH}, ${LOG_LEVEL_PATH}`;
    return sendJson(response, 404, { error });
  }
  try {
    sendJson(response, 200, await handler(new URLSearchParams(query)));
  } catch (error) {
    sendError(response, error);
  }
}

const levelFields = { levels: required(text('levels', 'as --log-level has them: info,store=debug')) };

/** Answers POST /log-level: `{ levels }` in, the levels that hold from now on out. */
async function answerLogLevels(incoming: IncomingMessage, response: ServerResponse, log: Log): Promise<void> {
  try {
    setLogLevels(
      log,
      readObject(levelFields, await readJson(incoming, LEVELS_BODY_MAX), '').levels,
      'levels',
    );
    sendJson(response, 200, { levels: logLevels(log) });
  } catch (error) {
    sendError(response, error);
  }
}
