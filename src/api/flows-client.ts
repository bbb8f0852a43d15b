import { openStream } from './capture-client.ts';
import { FLOW_LOG_PATH } from './flows.ts';

/** The flow log of a running agent, line by line, until `stop` aborts. Throws as `openCaptureStream`. */
export async function openFlowLog(socketPath: string, stop: AbortSignal): Promise<AsyncIterable<string>> {
  return linesOf(await openStream(socketPath, { path: FLOW_LOG_PATH, method: 'GET' }, stop));
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
}
