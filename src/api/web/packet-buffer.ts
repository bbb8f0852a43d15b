import { elementAt } from '../../base/at.ts';
import { describePacket } from '../../capture/decode/text.ts';
import { type CaptureInterface, LINK_ETHERNET, type Packet } from '../../capture/format/packet.ts';
import type { CaptureContext } from '../../capture/live/context.ts';
import type { CaptureSink } from '../../capture/sink/sink.ts';
import type { PacketView } from './messages.ts';

/** Maximum bytes of buffered packets. */
const BYTES_MAX = 16 << 20;

/** A sink that keeps the packets in memory, for views in pieces and for download. */
export class PacketBuffer implements CaptureSink {
  readonly all: Packet[] = [];
  readonly #interfaces: readonly CaptureInterface[];
  readonly #overlay: Pick<CaptureContext, 'mode' | 'port'>;
  readonly #full: () => void;
  #bytes = 0;

  /** @param full called once, when the limit is reached */
  constructor(
    interfaces: readonly CaptureInterface[],
    overlay: Pick<CaptureContext, 'mode' | 'port'>,
    full: () => void,
  ) {
    this.#interfaces = interfaces;
    this.#overlay = overlay;
    this.#full = full;
  }

  get written(): number {
    return this.all.length;
  }

  async packet(packet: Packet): Promise<void> {
    if (this.#bytes >= BYTES_MAX) return;
    // Copied, as a subarray would keep its whole batch in memory.
    this.all.push({ ...packet, bytes: packet.bytes.slice() });
    this.#bytes += packet.bytes.length;
    if (this.#bytes >= BYTES_MAX) this.#full();
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {}

  /** Views of at most `count` packets after the first `after`. */
  views(after: number, count: number): PacketView[] {
    return this.all.slice(after, after + count).map((packet, at) => this.#view(packet, after + at + 1));
  }

  #view(packet: Packet, number: number): PacketView {
    const { name = '', link } = elementAt(this.#interfaces, packet.interface);
    const kind = link === LINK_ETHERNET ? 'ethernet' : 'ip';
    return {
      number,
      time: String(packet.time),
      point: name,
      direction: packet.direction ?? null,
      link: kind,
      summary: describePacket(packet.bytes, kind, { length: packet.length, overlay: this.#overlay }),
      comments: packet.comments ?? [],
      length: packet.length,
      bytes: Buffer.from(packet.bytes).toString('base64'),
    };
  }
}
