import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { contain, contained } from './boundary.ts';

/** Between two looks at the socket's file, ms. */
const LOOK_MS = 5000;

export interface PrivateSocketOptions {
  path: string;
  /** Name under which later errors are contained: accept(2) may fail (EMFILE), and the server goes on listening. */
  part: string;
  /** Is called with each connection. The other side may have closed its half. */
  connect(socket: Socket): void;
  log(line: string): void;
  maxConnections?: number;
  lookMs?: number;
}

/**
 * Listens on a unix socket that only its owner may use. When the socket's file is deleted, it is opened again; a file that
 * another process has put there is left alone.
 * @returns `close` accepts no further connection, removes the file and waits for the end of all connections
 * @throws errors of the file system, of bind(2) and listen(2)
 */
export async function openPrivately(options: PrivateSocketOptions): Promise<{ close(): Promise<void> }> {
  const { path, part, log, lookMs = LOOK_MS } = options;
  const ended: Promise<void>[] = [];
  let server = await listen(options);
  let inode = inodeOf(path);
  let isClosed = false;
  let isOpening = false;
  const shut = () => ended.push(new Promise(done => server.close(() => done())));
  const removeFile = () => inodeOf(path) === inode && rmSync(path, { force: true });
  const look = async () => {
    if (isOpening || inodeOf(path) !== undefined) return;
    isOpening = true;
    try {
      const next = await listen(options);
      shut();
      [server, inode] = [next, inodeOf(path)];
      log(`${path} was deleted; opened it again`);
    } finally {
      isOpening = false;
    }
    if (!isClosed) return;
    shut();
    removeFile();
  };
  const timer = setInterval(() => contain(part, look), lookMs);
  timer.unref();
  return {
    async close() {
      isClosed = true;
      clearInterval(timer);
      shut();
      removeFile();
      await Promise.all(ended);
    },
  };
}

/** The socket is bound under another name, restricted, then moved: at no moment can others connect. */
async function listen({ path, part, connect, maxConnections }: PrivateSocketOptions): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, connect);
  if (maxConnections !== undefined) server.maxConnections = maxConnections;
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.on('error', error => (server.listening ? contained(part, error) : reject(error)));
    server.listen(temporary, resolve);
  });
  try {
    chmodSync(temporary, 0o600);
    renameSync(temporary, path);
  } catch (error) {
    server.close();
    rmSync(temporary, { force: true });
    throw error;
  }
  return server;
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
