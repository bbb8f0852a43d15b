import { request } from 'node:http';
import { codeOf, RipstopError } from '../base/errors.ts';

/** Where the agent listens when nothing else is said. */
export const DEFAULT_SOCKET = '/run/ripstop/agent.sock';

const USUAL_MS = 5000;

/** Asks the agent; with a body it is a POST. @throws RipstopError ENOAGENT, EACCES, EAGENT, each with what to do */
export async function askAgent<T>(
  socketPath: string,
  path: string,
  timeoutMs = USUAL_MS,
  body?: object,
): Promise<T> {
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const method = body ? 'POST' : 'GET';
    const call = request({ socketPath, path, method, agent: false, timeout: timeoutMs }, response => {
      let answer = '';
      response.setEncoding('utf8').on('data', chunk => {
        answer += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: answer }));
      response.on('error', error => reject(agentFailure(socketPath, error)));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    call.on('error', error => reject(agentFailure(socketPath, error)));
    call.end(body && JSON.stringify(body));
  });
  const value = parse(text);
  if (status === 200) return value as T;
  const { error = text, hint } = (value ?? {}) as { error?: string; hint?: string };
  throw new RipstopError(codeOf(value, 'EAGENT'), `the agent refused ${path}: ${error}`, hint);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a failed call to the socket means to a person. */
export function agentFailure(path: string, error: Error): RipstopError {
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
        `${path} is not open to you`,
        'use sudo, or start the agent with --socket-group',
      );
    default:
      return new RipstopError('EAGENT', `${path}: ${error.message}`);
  }
}
