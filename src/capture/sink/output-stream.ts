import type { Writable } from 'node:stream';
import { codeOf, RipstopError } from '../../base/errors.ts';

/** Code of the error of a stream whose reader has closed it: writers then end without an error message. */
export const BROKEN_PIPE = 'EPIPE';

const GONE = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'];

/** Writes to a stream in order and keeps its first error. */
export class OutputStream {
  readonly #stream: Writable;
  readonly #name: string;
  #fault: NodeJS.ErrnoException | undefined;

  /** @param name name in error messages */
  constructor(stream: Writable, name = 'standard output') {
    this.#stream = stream;
    this.#name = name;
    // A closed pipe emits an event at any time; without a listener it would end the process with a stack trace.
    stream.on('error', error => {
      this.#fault ??= error;
    });
  }

  get isBroken(): boolean {
    return this.#fault !== undefined;
  }

  /** Resolves when the data is written. Throws RipstopError, with BROKEN_PIPE when the reader is gone. */
  async write(data: string | Uint8Array): Promise<void> {
    if (this.#fault) this.#fail(this.#fault);
    if (data.length === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(data, error => (error ? reject(error) : resolve()));
    }).catch((error: NodeJS.ErrnoException) => this.#fail(error));
  }

  #fail(error: NodeJS.ErrnoException): never {
    this.#fault ??= error;
    const isGone = error.code !== undefined && GONE.includes(error.code);
    const code = isGone ? BROKEN_PIPE : codeOf(error, 'EIO');
    throw new RipstopError(code, `${this.#name}: ${error.message}`, undefined, { cause: error });
  }
}
