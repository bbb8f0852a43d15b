import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import type { Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { contained, settled } from './boundary.ts';

/** Interval of the check that the socket's file exists. */
const LOOK_MS = 5000;

interface PrivateSocketOptions {
  readonly path: string;
  /** Name under which later errors are contained: accept(2) may fail (EMFILE), and the server goes on listening. */
  readonly part: string;
  /** A new server that does not listen yet. */
  readonly create: () => Server;
  /** Numeric group that may use the socket besides its owner. */
  readonly group?: number | undefined;
  readonly log: (line: string) => void;
  readonly lookMs?: number | undefined;
}

/**
 * Listens on a unix socket that only its owner, and with `group` a group, may use. When the socket's file is deleted, it is
 * opened again; a file that another process has put there is left alone. Connections of before are still served.
 * @returns `close` accepts no further connection, removes the file and waits for the end of all connections
 * @throws errors of the file system, of bind(2) and listen(2)
 */
export async function openPrivately(options: PrivateSocketOptions): Promise<{ close(): Promise<void> }> {
  const { path, part, log, lookMs = LOOK_MS } = options;
  const ended: Promise<void>[] = [];
  let server = await listenPrivately(options);
  let inode = inodeOf(path);
  let opening: Promise<void> | undefined;
  const shut = () => ended.push(new Promise(done => server.close(() => done())));
  const look = async () => {
    if (inodeOf(path) !== undefined) return;
    const next = await listenPrivately(options);
    shut();
    [server, inode] = [next, inodeOf(path)];
    log(`${path} was deleted; opened it again`);
  };
  const timer = setInterval(() => {
    opening ??= settled(part, look).finally(() => {
      opening = undefined;
    });
  }, lookMs);
  timer.unref();
  return {
    async close() {
      clearInterval(timer);
      await opening;
      shut();
      if (inodeOf(path) === inode) rmSync(path, { force: true });
      await Promise.all(ended);
    },
  };
}

/** Resolves when `server` listens on a path or a descriptor. Errors after that are contained. @throws errors of listen(2) */
export async function listening(
  server: Server,
  target: { path: string } | { fd: number },
  part: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.on('error', error => (server.listening ? contained(part, error) : reject(error)));
    server.listen(target, resolve);
  });
}

/** The socket is bound under another name, restricted, then moved: at no moment can others connect. */
async function listenPrivately({ path, part, create, group }: PrivateSocketOptions): Promise<Server> {
  const server = create();
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  // No longer than the longest name in the directory: a path has at most 107 bytes (unix(7)).
  const temporary = join(dirname(path), `.${process.pid}${basename(path).charAt(0)}`);
  rmSync(temporary, { force: true });
  await listening(server, { path: temporary }, part);
  try {
    if (group !== undefined) chownSync(temporary, -1, group);
    chmodSync(temporary, group === undefined ? 0o600 : 0o660);
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
