import type { Writable } from 'node:stream';
import { elementAt } from '../../base/at.ts';
import { packetRow } from '../../capture/decode/packet-row.ts';
import type { CaptureInterface, Packet } from '../../capture/format/packet.ts';
import type { CaptureContext } from '../../capture/live/context.ts';
import { OutputStream } from '../../capture/sink/output-stream.ts';
import { type CaptureSink, FLUSH_BYTES } from '../../capture/sink/sink.ts';
import { type Output, rowText } from './print.ts';

/** Prints one object per packet. */
export class JsonSink implements CaptureSink {
  readonly #interfaces: readonly CaptureInterface[];
  readonly #overlay: CaptureContext | undefined;
  readonly #format: Output;
  readonly #output: OutputStream;
  #waiting = '';

  /** @param overlay whose datagrams are decoded, undefined for none */
  constructor(
    stream: Writable,
    interfaces: readonly CaptureInterface[],
    overlay: CaptureContext | undefined,
    format: Output,
  ) {
    this.#interfaces = interfaces;
    this.#overlay = overlay;
    this.#format = format;
    this.#output = new OutputStream(stream);
  }

  async packet(packet: Packet): Promise<void> {
    const row = packetRow(packet, elementAt(this.#interfaces, packet.interface), this.#overlay);
    this.#waiting += await rowText(this.#format, 'ripstop-packet/1', row);
    if (this.#waiting.length >= FLUSH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#waiting;
    this.#waiting = '';
    await this.#output.write(text);
  }

  async close(): Promise<void> {
    await this.flush();
  }
}
