import type { Writable } from 'node:stream';
import { RipstopError } from '../../base/errors.ts';
import { ByteQueue } from '../format/byte-queue.ts';
import type { CaptureFormat, InterfaceStatistics, Packet } from '../format/packet.ts';
import { OutputStream } from './output-stream.ts';
import { type CaptureSink, FLUSH_BYTES } from './sink.ts';

export interface StreamSinkOptions {
  readonly stream: Writable & { isTTY?: boolean };
  /** Name in error messages; by default standard output. */
  readonly name?: string;
  readonly format: CaptureFormat;
  statistics(): readonly InterfaceStatistics[];
}

/** Writes a capture to a stream, for `| tcpdump -r -` and `| wireshark -k -i -`. */
export class StreamSink implements CaptureSink {
  readonly #options: StreamSinkOptions;
  readonly #output: OutputStream;
  readonly #queue = new ByteQueue();
  #ended = false;

  /** Throws RipstopError when the stream is a terminal. */
  constructor(options: StreamSinkOptions) {
    if (options.stream.isTTY)
      throw new RipstopError(
        'ECAPTURE',
        'a capture is binary and standard output is a terminal',
        'pipe it into `tcpdump -nr -`, or write it with --write FILE',
      );
    this.#options = options;
    this.#output = new OutputStream(options.stream, options.name);
    options.format.begin(this.#queue);
  }

  async packet(packet: Packet): Promise<void> {
    this.#options.format.packet(this.#queue, packet);
    if (this.#queue.length >= FLUSH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    await this.#output.write(this.#queue.take());
  }

  async close(): Promise<void> {
    if (this.#ended || this.#output.isBroken) return;
    this.#ended = true;
    this.#options.format.end(this.#queue, this.#options.statistics());
    await this.flush();
  }
}
