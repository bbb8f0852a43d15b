import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { RipstopError } from '../../../base/errors.ts';
import { integer, openObject, readJson, text } from '../../../base/schema.ts';

/** An error of the API server: its HTTP status, and the reason of its Status object. */
export class KubeError extends RipstopError {
  readonly status: number;
  readonly reason: string;

  /** Value of the header Retry-After. */
  readonly retryAfter: string | undefined;

  constructor(status: number, reason: string, what: string, retryAfter?: string, hint = hintFor(status)) {
    // A server that is overloaded or not yet up counts as unreachable.
    super(status >= 500 || status === 429 ? 'ESTORE' : 'EREFUSED', what, hint);
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

function hintFor(status: number): string | undefined {
  return status === 403 || status === 401 ? 'check the ClusterRole and the token of the agent' : undefined;
}

/** The version of a list or watch is not in the server's history any more. */
export function isExpired(error: unknown): error is KubeError {
  return error instanceof KubeError && error.status === 410;
}

/** The part of a Status object that messages are made of. */
export const STATUS_FIELDS = {
  code: integer(0, 999, 'HTTP status'),
  reason: text('a word', 'machine-readable reason'),
  message: text('a text', 'for people'),
};

/** @param fault why the credentials on disk cannot be used, if that is so */
export async function readFailure(
  { statusCode = 0, headers }: IncomingMessage,
  content: Readable,
  what: string,
  fault: string | undefined,
): Promise<KubeError> {
  let body = '';
  for await (const chunk of content.setEncoding('utf8')) body += chunk;
  let reason = '';
  let message = body.slice(0, 200);
  try {
    const status = readJson(openObject(STATUS_FIELDS, ''), body, 'Status');
    reason = status.reason ?? '';
    message = status.message ?? message;
  } catch {
    // A proxy in between answers in plain text.
  }
  const whole = `${what}: ${statusCode} ${message}`;
  return new KubeError(statusCode, reason, whole, headers['retry-after'], fault ?? hintFor(statusCode));
}

const LONGEST_RETRY_AFTER_S = 30;

/**
 * Seconds to wait before the same call may be tried again; undefined: it is final.
 * @param header value of Retry-After, in seconds; a date counts as absent
 */
export function retryAfterSeconds(
  status: number,
  header: string | undefined,
  method: string,
): number | undefined {
  const asked = Number(header) > 0 ? Math.min(Number(header), LONGEST_RETRY_AFTER_S) : undefined;
  if (status === 429) return asked ?? 1;
  if (status === 503) return asked;
  if (status === 409 && method === 'PATCH') return 0.05;
  return undefined;
}
