import type { Writable } from 'node:stream';
import { elementAt } from '../../base/at.ts';
import { isHeaderComment } from '../decode/packet-decoder.ts';
import { describePacket } from '../decode/text.ts';
import { type CaptureInterface, LINK_ETHERNET, type Packet } from '../format/packet.ts';
import type { CaptureContext } from '../live/context.ts';
import { OutputStream } from './output-stream.ts';
import { type CaptureSink, FLUSH_BYTES } from './sink.ts';

/** Prints a text per packet. */
export class LineSink implements CaptureSink {
  readonly #output: OutputStream;
  readonly #textOf: (packet: Packet) => string | Promise<string>;
  #waiting = '';

  /** @param textOf the text with its line ends */
  constructor(stream: Writable, textOf: (packet: Packet) => string | Promise<string>) {
    this.#output = new OutputStream(stream);
    this.#textOf = textOf;
  }

  async packet(packet: Packet): Promise<void> {
    this.#waiting += await this.#textOf(packet);
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

/**
 * One line per packet for a person: time of day (UTC), point, packet, comments.
 * @param overlay whose datagrams are decoded, undefined for none
 */
export function packetLine(
  interfaces: readonly CaptureInterface[],
  overlay: Pick<CaptureContext, 'mode' | 'port'> | undefined,
): (packet: Packet) => string {
  return packet => {
    const { name, link } = elementAt(interfaces, packet.interface);
    const text = describePacket(packet.bytes, link === LINK_ETHERNET ? 'ethernet' : 'ip', {
      length: packet.length,
      overlay,
    });
    const lost = packet.dropped ? `[${packet.dropped} lost before] ` : '';
    const shown = packet.comments?.filter(comment => !isHeaderComment(comment)) ?? [];
    const comments = shown.length > 0 ? `  (${shown.join('; ')})` : '';
    return `${timeOfDay(packet.time)} ${(name ?? '').padEnd(13)} ${lost}${text}${comments}\n`;
  };
}

/** `14:03:07.123456789` */
function timeOfDay(time: bigint): string {
  const clock = new Date(Number(time / 1_000_000n)).toISOString().slice(11, 19);
  return `${clock}.${String(time % 1_000_000_000n).padStart(9, '0')}`;
}
