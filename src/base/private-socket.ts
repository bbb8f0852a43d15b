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
  /** Is given each connection, half of which may be closed. */
  connect(socket: Socket): void;
  maxConnections?: number;
  log(line: string): void;
  lookMs?: number;
}

/**
 * A unix socket that only its owner may use. It is bound under another name, restricted, then moved: there is no moment in
 * which others could connect, and what listened there before is replaced. Where its file is deleted it is opened again; a file
 * that another process has put there is left alone.
 */
export class PrivateSocket {
  readonly #options: PrivateSocketOptions;
  readonly #ended: Promise<void>[] = [];
  #server: Server | undefined;
  #inode: bigint | undefined;
  #isOpening = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: PrivateSocketOptions) {
    this.#options = options;
  }

  /** @throws errors of the file system, of bind(2) and listen(2) */
  static async open(options: PrivateSocketOptions): Promise<PrivateSocket> {
    const socket = new PrivateSocket(options);
    await socket.#listen();
    const { part, lookMs = LOOK_MS } = options;
    socket.#timer = setInterval(() => contain(part, () => socket.#look()), lookMs);
    socket.#timer.unref();
    return socket;
  }

  /** Accepts no further connection and removes the file. @returns a promise that is fulfilled when all connections have ended */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#shut();
    const { path } = this.#options;
    if (this.#inode !== undefined && inodeOf(path) === this.#inode) rmSync(path, { force: true });
    await Promise.all(this.#ended);
  }

  async #look(): Promise<void> {
    const { path, log } = this.#options;
    if (this.#isOpening || inodeOf(path) !== undefined) return;
    this.#isOpening = true;
    try {
      this.#shut();
      await this.#listen();
      log(`${path} was deleted; opened it again`);
    } finally {
      this.#isOpening = false;
    }
    if (this.#isClosed) await this.close();
  }

  #shut(): void {
    const server = this.#server;
    this.#server = undefined;
    if (server) this.#ended.push(new Promise(done => server.close(() => done())));
  }

  async #listen(): Promise<void> {
    const { path, part, connect, maxConnections } = this.#options;
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
    this.#server = server;
    this.#inode = inodeOf(path);
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
