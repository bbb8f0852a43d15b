import { type IncomingMessage, request } from 'node:http';
import { codeOf, hasCode, messageOf, RipstopError } from '../base/errors.ts';
import { type Field, openObject, readJson, required, string } from '../base/schema.ts';
import type { Selection } from '../capture/filter/selection.ts';
import { type TraceAnswer, traceAnswer } from '../diagnose/trace/answer.ts';
import { ANSWERS, type Answer, type AnswerPath } from './answers.ts';

/** The agent's socket by default. */
export const DEFAULT_SOCKET = '/run/ripstop/agent.sock';
/** Its name in the state directory of an agent. */
export const SOCKET_NAME = 'agent.sock';

/* Paths of the agent's socket that answer with a stream, or take a body. */
export const CAPTURE_PATH = '/capture';
export const CAPTURE_STOP_PATH = '/capture/stop';
export const FLOW_LOG_PATH = '/flows/log';
export const TRACE_PATH = '/trace';
export const LOG_LEVEL_PATH = '/log-level';
export const RECORDER_PATH = '/recorder';
export const RECORDING_PATH = '/recorder/pcapng';

/** Field of the answer to a capture: the name under which it can be stopped. */
export const CAPTURE_ID_FIELD = 'ripstop-capture';

const TIMEOUT_MS = 5000;
/** How long a stop request may take before the stream is ended on this side, milliseconds. */
const STOP_TIMEOUT_MS = 1000;

/** What to capture, and where: the first overlay that fits. */
export interface OverlaySelection extends Selection {
  readonly device?: string;
  /** IP version that the overlay carries. */
  readonly family?: number;
  /** What the flight recorder has of the last seconds, or its last lost frames; the stream ends then. */
  readonly pastSeconds?: number;
  readonly lostFrames?: number;
}

/**
 * Gets an answer of the agent.
 * @param query with its `?`
 * @throws RipstopError ENOAGENT, EACCES, EAGENT or the agent's own, each with what to do
 */
export async function getJson<P extends AnswerPath>(
  socketPath: string,
  path: P,
  { query = '', timeoutMs = TIMEOUT_MS } = {},
): Promise<Answer<P>> {
  const response = await send(socketPath, 'GET', path + query, undefined, timeoutMs);
  return (await read(ANSWERS[path] as Field, socketPath, path, response)) as Answer<P>;
}

/**
 * Gets bytes of the agent, at most `max` of them.
 * @returns undefined where the agent does not know the path
 * @throws as `getJson`; RipstopError EFBIG
 */
export async function getBytes(
  socketPath: string,
  path: string,
  { max, timeoutMs }: { readonly max: number; readonly timeoutMs: number },
): Promise<Uint8Array | undefined> {
  const response = await send(socketPath, 'GET', path, undefined, timeoutMs);
  if (response.statusCode === 404) {
    response.resume();
    return undefined;
  }
  if (response.statusCode !== 200) throw refusal(await textOf(socketPath, response));
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > max) throw new RipstopError('EFBIG', `${path}: more than ${max} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof RipstopError ? error : connectionError(socketPath, error);
  }
  return Buffer.concat(chunks);
}

/** Asks the agent what it would do with a packet. @param request see `TraceRequest` @throws as `getJson` */
export async function requestTrace(
  socketPath: string,
  request: object,
  timeoutMs = TIMEOUT_MS,
): Promise<TraceAnswer> {
  const response = await send(socketPath, 'POST', TRACE_PATH, request, timeoutMs);
  return read(traceAnswer, socketPath, TRACE_PATH, response);
}

/** Changes the log levels of the agent. @returns the levels in force @throws as `getJson` */
export async function postLogLevels(socketPath: string, levels: string): Promise<Answer<'/log-level'>> {
  const response = await send(socketPath, 'POST', LOG_LEVEL_PATH, { levels }, TIMEOUT_MS);
  return read(ANSWERS[LOG_LEVEL_PATH], socketPath, LOG_LEVEL_PATH, response);
}

/** Turns the recorder of all headers on or off. @throws as `getJson` */
export async function postRecorder(socketPath: string, headers: boolean, device?: string): Promise<void> {
  const response = await send(socketPath, 'POST', RECORDER_PATH, { headers, device }, TIMEOUT_MS);
  const answer = await textOf(socketPath, response);
  if (response.statusCode !== 200) throw refusal(answer);
}

/** What the flight recorder of an overlay has, as the bytes of a pcapng file. @throws as `getJson` */
export async function openRecording(
  socketPath: string,
  device: string,
  stop: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const path = `${RECORDING_PATH}?device=${encodeURIComponent(device)}`;
  return chunksOf(socketPath, await send(socketPath, 'GET', path), stop);
}

/**
 * Starts a capture of a running agent; the stream is that of `capture/live/record-stream.ts`. When `stop` aborts, the agent
 * is asked to stop, and the stream ends with what it had captured and lost until then.
 * @throws as `getJson`
 */
export async function openCaptureStream(
  socketPath: string,
  capture: OverlaySelection,
  stop: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const response = await send(socketPath, 'POST', CAPTURE_PATH, capture);
  if (response.statusCode !== 200) throw refusal(await textOf(socketPath, response));
  const id = response.headers[CAPTURE_ID_FIELD];
  const stopStream = () =>
    send(socketPath, 'POST', CAPTURE_STOP_PATH, { id }, STOP_TIMEOUT_MS)
      .then(async answer => {
        const text = await textOf(socketPath, answer);
        if (answer.statusCode !== 200) throw refusal(text);
      })
      .catch(() => response.destroy());
  if (stop.aborted) void stopStream();
  else stop.addEventListener('abort', () => void stopStream(), { once: true });
  return untilStopped(response, stop);
}

/** The flow log of a running agent, line by line, until `stop` aborts. @throws as `getJson` */
export async function openFlowLog(socketPath: string, stop: AbortSignal): Promise<AsyncIterable<string>> {
  return linesOf(await chunksOf(socketPath, await send(socketPath, 'GET', FLOW_LOG_PATH), stop));
}

/** The response of the agent to a request, when its header fields have come. Without `timeoutMs` it may be silent for any time. */
async function send(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
  timeoutMs?: number,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method, agent: false, timeout: timeoutMs }, resolve);
    call.on('timeout', () => call.destroy(new Error(`no answer within ${(timeoutMs ?? 0) / 1000} s`)));
    call.on('error', error => reject(connectionError(socketPath, error)));
    call.end(body && JSON.stringify(body));
  });
}

async function read<T>(
  field: Field<T>,
  socketPath: string,
  path: string,
  response: IncomingMessage,
): Promise<T> {
  const text = await textOf(socketPath, response);
  if (response.statusCode !== 200) throw refusal(text);
  try {
    return readJson(field, text, path);
  } catch (error) {
    throw new RipstopError(
      'EAGENT',
      `unexpected answer on ${socketPath}: ${messageOf(error)}`,
      'is it the socket of an agent of this version?',
    );
  }
}

/** The chunks of an answer that goes on until `stop` aborts. */
async function chunksOf(
  socketPath: string,
  response: IncomingMessage,
  stop: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  if (response.statusCode !== 200) throw refusal(await textOf(socketPath, response));
  stop.addEventListener('abort', () => response.destroy(), { once: true });
  return untilStopped(response, stop);
}

/** The chunks of a response, until it ends or `stop` aborts. */
async function* untilStopped(
  response: AsyncIterable<Uint8Array>,
  stop: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* response;
  } catch (error) {
    if (stop.aborted) return;
    const reason = hasCode(error, 'ECONNRESET') ? 'it has ended' : messageOf(error);
    throw new RipstopError('EAGENT', `the agent closed the stream: ${reason}`, "see the agent's log");
  }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

async function textOf(socketPath: string, response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
  } catch (error) {
    throw connectionError(socketPath, error);
  }
  return text;
}

const REFUSAL = openObject({ error: required(string), hint: string, code: string }, 'error of the agent');

/** The error that the agent answered with. */
function refusal(text: string): RipstopError {
  try {
    const refused = readJson(REFUSAL, text, 'error');
    return new RipstopError(codeOf(refused, 'EAGENT'), refused.error, refused.hint);
  } catch {
    // Another program listens there.
    return new RipstopError('EAGENT', `unexpected answer of the agent: ${text.slice(0, 200)}`);
  }
}

/** What a failed call to the socket means to a person. */
function connectionError(path: string, error: unknown): RipstopError {
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new RipstopError(
        'ENOAGENT',
        `no agent listens on ${path}`,
        'start it with `ripstop agent`, or name its socket with --socket',
      );
    case 'EACCES':
      return new RipstopError(
        'EACCES',
        `no permission to use ${path}`,
        'use sudo, or start the agent with --socket-group',
      );
    default:
      return new RipstopError('EAGENT', `${path}: ${messageOf(error)}`);
  }
}
