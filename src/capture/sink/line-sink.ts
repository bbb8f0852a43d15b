import type { Writable } from 'node:stream';
import { elementAt } from '../../base/at.ts';
import { isHeaderComment } from '../decode/packet-decoder.ts';
import { describePacket } from '../decode/text.ts';
import { type CaptureInterface, LINK_ETHERNET, type Packet } from '../format/packet.ts';
import type { CaptureContext } from '../live/context.ts';
import { OutputStream } from './output-stream.ts';
import { type CaptureSink, FLUSH_BYTES } from './sink.ts';

/** Prints one line per packet: time of day (UTC), point, packet, comments. */
export class TextSink implements CaptureSink {
  readonly #interfaces: readonly CaptureInterface[];
  readonly #overlay: Pick<CaptureContext, 'mode' | 'port'> | undefined;
  readonly #output: OutputStream;
  #waiting = '';

  /** @param overlay whose datagrams are decoded, undefined for none */
  constructor(
    stream: Writable,
    interfaces: readonly CaptureInterface[],
    overlay: Pick<CaptureContext, 'mode' | 'port'> | undefined,
  ) {
    this.#overlay = overlay;
    this.#interfaces = interfaces;
    this.#output = new OutputStream(stream);
  }

  async packet(packet: Packet): Promise<void> {
    const { name, link } = elementAt(this.#interfaces, packet.interface);
    const text = describePacket(packet.bytes, link === LINK_ETHERNET ? 'ethernet' : 'ip', {
      length: packet.length,
      overlay: this.#overlay,
    });
    const lost = packet.dropped ? `[${packet.dropped} lost before] ` : '';
    const shown = packet.comments?.filter(comment => !isHeaderComment(comment)) ?? [];
    const comments = shown.length > 0 ? `  (${shown.join('; ')})` : '';
    this.#waiting += `${timeOfDay(packet.time)} ${(name ?? '').padEnd(13)} ${lost}${text}${comments}\n`;
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

/** `14:03:07.123456789` */
function timeOfDay(time: bigint): string {
  const clock = new Date(Number(time / 1_000_000n)).toISOString().slice(11, 19);
  return `${clock}.${String(time % 1_000_000_000n).padStart(9, '0')}`;
}
