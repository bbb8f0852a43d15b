import type { Writable } from 'node:stream';
import { RipstopError } from '../base/errors.ts';
import { GrowingQueue } from './byte-queue.ts';
import type { CaptureFormat, InterfaceStatistics, Packet } from './packet.ts';
import { type CaptureSink, FLUSH_BYTES } from './sink.ts';

/** Code of the error that a sink throws when its reader has gone: the capture then ends without a complaint. */
export const READER_GONE = 'EPIPE';

export interface StreamSinkOptions {
  /** Standard output, as a rule. */
  readonly stream: Writable & { isTTY?: boolean };
  readonly format: CaptureFormat;
  statistics(): readonly InterfaceStatistics[];
}

/** Writes a capture to a stream, for `| tcpdump -r -` and `| wireshark -k -i -`. */
export class StreamSink implements CaptureSink {
  written = 0;
  readonly #options: StreamSinkOptions;
  readonly #queue = new GrowingQueue();
  #waiting = 0;
  #ended = false;
  #fault: NodeJS.ErrnoException | undefined;

  /** Throws RipstopError when the stream is a terminal. */
  constructor(options: StreamSinkOptions) {
    if (options.stream.isTTY)
      throw new RipstopError(
        'ECAPTURE',
        'a capture is binary and standard output is a terminal',
        'pipe it into `tcpdump -nr -`, or write it with --write FILE',
      );
    this.#options = options;
    // A closed pipe shows as an event, at any time; unheard, it would end the process with a stack trace.
    options.stream.on('error', error => {
      this.#fault ??= error;
    });
    options.format.begin(this.#queue);
  }

  async packet(packet: Packet): Promise<void> {
    this.#options.format.packet(this.#queue, packet);
    this.#waiting++;
    if (this.#queue.length >= FLUSH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#fault) this.#fail(this.#fault);
    if (this.#queue.length === 0) return;
    const bytes = this.#queue.take();
    const packets = this.#waiting;
    this.#waiting = 0;
    await new Promise<void>((resolve, reject) => {
      this.#options.stream.write(bytes, error => (error ? reject(error) : resolve()));
    }).catch((error: NodeJS.ErrnoException) => this.#fail(error));
    this.written += packets;
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#fault) return;
    this.#options.format.end(this.#queue, this.#options.statistics());
    await this.flush();
  }

  #fail(error: NodeJS.ErrnoException): never {
    this.#fault ??= error;
    this.#ended = true;
    // A stream that was destroyed under us says so with its own codes.
    const gone = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'];
    const code = error.code && gone.includes(error.code) ? READER_GONE : (error.code ?? 'EIO');
    throw new RipstopError(code, `standard output: ${error.message}`, undefined, { cause: error });
  }
}
