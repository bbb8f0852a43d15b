import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { loadPlugin } from '../plugins.ts';
import { CniError, CODE, encodeError } from '../skel/errors.ts';
import type { Host } from '../skel/plugin.ts';
import { runTraced } from '../trace/run-traced.ts';
import {
  type CniRequest,
  type CniResponse,
  encodeResponse,
  parseRequest,
  requestLength,
} from './protocol.ts';

export const DEFAULT_SOCKET = '/run/ripstop/cni.sock';

/** Works on one call. Never throws: what goes wrong is an answer. */
export async function answer(request: CniRequest, host: Host): Promise<CniResponse> {
  let stdout = '';
  let stderr = '';
  const note = (line: string) => {
    stderr += `${line}\n`;
    host.log(`cni ${request.plugin}: ${line}`);
  };
  const plugin = await loadPlugin(request.plugin);
  if (!plugin) {
    const fault = new CniError(CODE.INTERNAL, `the agent has no CNI plugin "${request.plugin}"`);
    return { status: 1, stdout: JSON.stringify(encodeError(fault, undefined)), stderr };
  }
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
  // Nobody waits for the spans: they go out behind the answer.
  const { status } = await runTraced(plugin, streams, { ...host, log: note });
  return { status, stdout, stderr };
}

/**
 * Opens the socket on which the executables hand over their calls. Only root may connect. Calls of different
 * containers run side by side; what they share is guarded where it lies (files by flock, rules by transactions).
 * The agent is to close it last: a call that is under way is answered before `close` calls back.
 */
export function serveCni(path: string, host: Host): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const server = createServer({ allowHalfOpen: true }, socket => converse(socket, host));
  // Bound under another name, restricted, then moved: there is no moment in which others could connect.
  const draft = `${path}.${process.pid}`;
  rmSync(draft, { force: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(draft, () => {
      chmodSync(draft, 0o600);
      renameSync(draft, path);
      server.on('close', () => rmSync(path, { force: true }));
      resolve(server);
    });
  });
}

function converse(socket: Socket, host: Host): void {
  let bytes = Buffer.alloc(0);
  let begun = false;
  // A runtime that gave up has closed its end; the call goes on to its end, as a process that it cannot see would.
  socket.on('error', () => {});
  socket.on('end', () => {
    if (!begun) socket.destroy();
  });
  socket.on('data', chunk => {
    if (begun) return;
    bytes = Buffer.concat([bytes, chunk]);
    try {
      const length = requestLength(bytes);
      if (length === undefined || bytes.length < length) return;
      begun = true;
      answer(parseRequest(bytes.subarray(0, length)), host).then(response =>
        socket.end(encodeResponse(response)),
      );
    } catch (error) {
      begun = true;
      host.log(`cni socket: ${(error as Error).message}`);
      socket.destroy();
    }
  });
}
