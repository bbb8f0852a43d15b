import { createServer, type Socket } from 'node:net';
import { contain } from '../../base/boundary.ts';
import { describeError } from '../../base/errors.ts';
import { openPrivately } from '../../base/private-socket.ts';
import { loadPlugin } from '../plugins.ts';
import { CniError, CODE, encodeError, toCniError } from '../skel/errors.ts';
import type { Host } from '../skel/plugin.ts';
import { runTraced } from '../telemetry/run-traced.ts';
import { RecordedCalls } from './completion.ts';
import {
  type CniRequest,
  type CniResponse,
  encodeResponse,
  parseRequest,
  requestLength,
} from './protocol.ts';

export const DEFAULT_SOCKET = '/run/ripstop/cni.sock';

/** Longest time for the arrival of a request, ms. */
const REQUEST_MS = 30_000;
/** Between two tries of recorded calls that failed, ms. */
const RETRY_MS = 30_000;

/** Runs one call. Never throws: a failure becomes an error object. */
export async function handleRequest(request: CniRequest, host: Host): Promise<CniResponse> {
  let stdout = '';
  let stderr = '';
  const note = (line: string) => {
    stderr += `${line}\n`;
    host.log(`cni ${request.plugin}: ${line}`);
  };
  try {
    const plugin = await loadPlugin(request.plugin);
    if (!plugin) throw new CniError(CODE.INTERNAL, `the agent has no CNI plugin "${request.plugin}"`);
    const streams = {
      env: request.env,
      stdin: () => request.stdin,
      stdout: (text: string) => {
        stdout += text;
      },
      stderr: (text: string) => {
        stderr += text;
      },
    };
    // The answer does not wait for the spans.
    const { status } = await runTraced(plugin, streams, { ...host, log: note });
    return { status, stdout, stderr };
  } catch (error) {
    // A fault in what surrounds the plugins, which answer their own.
    host.log(`cni ${request.plugin}: ${describeError(error)}`);
    return refusal(toCniError(error), stderr);
  }
}

function refusal(fault: CniError, stderr = ''): CniResponse {
  return { status: 1, stdout: `${JSON.stringify(encodeError(fault, undefined))}\n`, stderr };
}

/**
 * Opens the socket on which the executables hand over their calls. Only root may connect. Calls of different
 * containers run concurrently; shared files are locked with flock(2), and rules are changed in transactions.
 * The agent is to close it last: `close` waits until the calls under way are answered.
 *
 * What was recorded in `callsDir` while no agent listened is completed once the socket is there, and ADDs wait for it. Not
 * before: a recorded call that hangs would keep the socket closed. No record is missed: the executable connects again
 * after it has written one.
 */
export async function serveCni(
  path: string,
  host: Host,
  callsDir: string,
  lookMs?: number,
): Promise<{ close(): Promise<void> }> {
  const recorded = new RecordedCalls(callsDir, host, handleRequest);
  const socket = await openPrivately({
    path,
    part: 'cni',
    create: () => createServer({ allowHalfOpen: true }, connection => converse(connection, host, recorded)),
    log: host.log,
    lookMs,
  });
  contain('cni', () => recorded.complete());
  const retry = setInterval(() => contain('cni', () => recorded.retry()), RETRY_MS);
  retry.unref();
  return {
    async close() {
      clearInterval(retry);
      await socket.close();
      recorded.end();
    },
  };
}

/** An ADD waits for the recorded calls; the other commands need not. */
async function work(request: CniRequest, host: Host, recorded: RecordedCalls): Promise<CniResponse> {
  const { CNI_COMMAND: command, CNI_CONTAINERID: id = '', CNI_IFNAME: ifname = '' } = request.env;
  if (command === 'ADD') {
    const problem = await recorded.beforeAdd(id, ifname);
    if (problem !== undefined) return refusal(new CniError(CODE.TRY_AGAIN_LATER, problem));
  }
  return handleRequest(request, host);
}

/** Collects one request. Bytes are joined once, when all of them are there. */
class RequestReader {
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #wanted: number | undefined;

  /** @returns the request when these were its last bytes @throws Error when it is none */
  take(chunk: Buffer): CniRequest | undefined {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#wanted === undefined) {
      // The header alone; it may come in parts of a few bytes.
      const begun = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
      if (this.#chunks.length > 1) this.#chunks.splice(0, this.#chunks.length, begun);
      this.#wanted = requestLength(begun);
    }
    if (this.#wanted === undefined || this.#size < this.#wanted) return undefined;
    return parseRequest(Buffer.concat(this.#chunks, this.#size).subarray(0, this.#wanted));
  }
}

function converse(socket: Socket, host: Host, recorded: RecordedCalls): void {
  const reader = new RequestReader();
  let isTaken = false;
  const giveUp = (why: string) => {
    isTaken = true;
    host.log(`cni socket: ${why}`);
    socket.destroy();
  };
  // When the runtime has given up and closed its end, the call is still completed.
  socket.on('error', () => {});
  socket.on('end', () => {
    if (!isTaken) socket.destroy();
  });
  socket.setTimeout(REQUEST_MS, () => {
    if (!isTaken) giveUp(`a request was not complete after ${REQUEST_MS} ms`);
  });
  socket.on('data', chunk => {
    if (isTaken) return;
    try {
      const request = reader.take(chunk);
      if (!request) return;
      isTaken = true;
      socket.setTimeout(0);
      work(request, host, recorded)
        .then(encodeResponse)
        .catch(error => encodeResponse(refusal(toCniError(error))))
        .then(bytes => socket.end(bytes));
    } catch (error) {
      giveUp(describeError(error));
    }
  });
}
