import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { RipstopError } from '../../base/errors.ts';

/** Longest line, which is the figures of a stream. */
const LINE_MAX = 1 << 20;
/** Lines that wait to be read; while there are as many, nothing is taken from the connection. */
const WAITING_MAX = 64;
/** After this time without data TCP asks whether the other end is still there, ms. */
const KEEP_ALIVE_MS = 30_000;

/** JSON values over TCP, one per line. */
export class Lines {
  readonly socket: Socket;
  readonly #waiting: { take: (line: string | undefined) => void; fail: (error: Error) => void }[] = [];
  readonly #lines: string[] = [];
  #rest = '';
  #isEnded = false;
  #error: Error | undefined;
  readonly #decoder = new StringDecoder('utf8');
  readonly #onData = (chunk: Buffer): void => this.#take(this.#decoder.write(chunk));

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', this.#onData);
    socket.on('error', error => this.#end(error));
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
  }

  #take(chunk: string): void {
    const parts = (this.#rest + chunk).split('\n');
    this.#rest = parts.pop() ?? '';
    if (this.#rest.length > LINE_MAX) {
      this.#end(new RipstopError('ESOCKET', `a line of more than ${LINE_MAX} characters`));
      this.socket.destroy();
    }
    for (const line of parts) {
      const waiting = this.#waiting.shift();
      if (waiting) waiting.take(line);
      else this.#lines.push(line);
    }
    if (this.#lines.length >= WAITING_MAX) this.socket.pause();
  }

  #end(error?: Error): void {
    this.#isEnded = true;
    this.#error ??= error;
    for (const { take, fail } of this.#waiting.splice(0))
      if (this.#error) fail(this.#error);
      else take(undefined);
  }

  /** The socket. Its bytes are not read as lines from now on. */
  release(): Socket {
    this.socket.off('data', this.#onData);
    this.socket.resume();
    return this.socket;
  }

  send(value: object): void {
    if (!this.socket.destroyed) this.socket.write(`${JSON.stringify(value)}\n`);
  }

  /** Waits until the kernel has room for what was sent, or the connection has ended: a reader that stalls is not sent more. */
  drained(): Promise<void> {
    const { socket } = this;
    if (!socket.writableNeedDrain) return Promise.resolve();
    return new Promise(done => {
      const settle = () => {
        socket.off('drain', settle).off('close', settle);
        done();
      };
      socket.on('drain', settle).on('close', settle);
    });
  }

  /** The next line, undefined when the other end has closed the connection. @throws the error of the connection */
  async next(): Promise<string | undefined> {
    const line = this.#lines.shift();
    if (this.#lines.length < WAITING_MAX && this.socket.isPaused()) this.socket.resume();
    if (line !== undefined) return line;
    if (this.#error) throw this.#error;
    if (this.#isEnded) return undefined;
    return new Promise((take, fail) => this.#waiting.push({ take, fail }));
  }
}
