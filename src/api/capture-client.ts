import { request } from 'node:http';
import { codeOf, messageOf, RipstopError } from '../base/errors.ts';
import type { Selection } from '../capture/filter/selection.ts';
import { agentFailure } from './client.ts';

/** Path of the agent's interface that streams a capture. */
export const CAPTURE_PATH = '/capture';

/** Path of the agent's interface that tells where captures can be taken. */
export const CAPTURES_PATH = '/captures';

/** Answer of GET /captures; empty where the kernel carries the packets. */
export type CapturePlaces = readonly { readonly device: string; readonly families: readonly number[] }[];

/** What to capture, and where: the first overlay that fits. */
export interface CaptureRequest extends Selection {
  readonly device?: string;
  /** IP version that the overlay carries. */
  readonly family?: number;
}

/**
 * Starts a capture of a running agent; the stream is that of `capture/live/record-stream.ts`. It ends when `stop` aborts.
 * Throws RipstopError ENOAGENT, EACCES or EAGENT, each with what to do, or what the agent itself refused.
 */
export async function openCaptureStream(
  socketPath: string,
  selection: CaptureRequest,
  stop: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  return openStream(
    socketPath,
    { path: CAPTURE_PATH, method: 'POST', body: JSON.stringify(selection) },
    stop,
  );
}

/** Opens an answer that goes on until `stop` aborts. Throws as `openCaptureStream`. */
export async function openStream(
  socketPath: string,
  { path, method, body }: { path: string; method: 'GET' | 'POST'; body?: string },
  stop: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method }, response => {
      if (response.statusCode === 200) {
        stop.addEventListener('abort', () => response.destroy(), { once: true });
        resolve(endingQuietly(response, stop));
        return;
      }
      let text = '';
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => reject(refusal(text)));
    });
    call.on('error', error => reject(agentFailure(socketPath, error)));
    call.end(body);
  });
}

/** The chunks of a response; that we ourselves end it is no fault. */
async function* endingQuietly(
  response: AsyncIterable<Uint8Array>,
  stop: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* response;
  } catch (error) {
    if (stop.aborted) return;
    throw new RipstopError('EAGENT', `the agent ended it: ${messageOf(error)}`, 'see its log');
  }
}

function refusal(body: string): RipstopError {
  try {
    const refused = JSON.parse(body) as { error: string; hint?: string };
    return new RipstopError(codeOf(refused, 'EAGENT'), refused.error, refused.hint);
  } catch {
    return new RipstopError('EAGENT', `the agent refused: ${body.slice(0, 200)}`);
  }
}
