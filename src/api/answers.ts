import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeError, RipstopError } from '../base/errors.ts';
import { targetOf } from './listener.ts';

/** Answers by path; each gets the query. What it throws becomes the answer, too. */
export type Answers = Readonly<Record<string, (query: URLSearchParams) => unknown>>;

/**
 * Answers a GET with JSON.
 * @param others what else there is, for whoever asks for what is not there
 */
export async function answerGet(
  incoming: IncomingMessage,
  response: ServerResponse,
  answers: Answers,
  others: string,
): Promise<void> {
  const { path, query } = targetOf(incoming);
  const answer = Object.hasOwn(answers, path) ? answers[path] : undefined;
  if (incoming.method !== 'GET' || !answer) {
    json(response, 404, { error: `there are GET ${Object.keys(answers).join(', ')} and ${others}` });
    return;
  }
  try {
    json(response, 200, await answer(new URLSearchParams(query)));
  } catch (error) {
    refuse(response, error);
  }
}

/** Answers with what is wrong: 400 for what the caller can correct, otherwise 500. */
export function refuse(response: ServerResponse, error: unknown): void {
  if (!(error instanceof RipstopError)) {
    json(response, 500, { error: describeError(error) });
    return;
  }
  const { code, message, hint } = error;
  json(response, 400, { code, error: message, hint });
}

/** The JSON of a request. @param most bytes @throws RipstopError ECONFIG */
export async function readJson(incoming: IncomingMessage, most: number): Promise<unknown> {
  let body = '';
  for await (const chunk of incoming.setEncoding('utf8')) {
    body += chunk;
    if (body.length > most) throw new RipstopError('ECONFIG', `a request of more than ${most} bytes`);
  }
  try {
    return JSON.parse(body);
  } catch {
    throw new RipstopError('ECONFIG', 'the request is no JSON');
  }
}

export function json(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(text);
}
