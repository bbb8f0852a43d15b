import type { ByteQueue } from '../byte-queue.ts';
import type { CaptureFormat, Packet } from '../packet.ts';
import * as pcap from './format.ts';

/**
 * Writes classic captures (draft-ietf-opsawg-pcap), little-endian, with nanoseconds. The format has one link type and no
 * comments, directions or loss counts; these are omitted.
 */
export class PcapFormat implements CaptureFormat {
  readonly #link: number;
  readonly #snapLength: number;

  /**
   * @param link LINKTYPE_* of every packet
   * @param snapLength maximum bytes kept per packet; 0 for no limit
   */
  constructor(link: number, snapLength: number) {
    this.#link = link;
    this.#snapLength = snapLength || pcap.CAPTURED_MAX;
  }

  begin(out: ByteQueue): void {
    const header = out.reserve(pcap.FILE_HEADER);
    out.view.setUint32(header, pcap.MAGIC_NANO, true);
    out.view.setUint16(header + pcap.VERSION_MAJOR, 2, true);
    out.view.setUint16(header + pcap.VERSION_MINOR, 4, true);
    out.view.setUint32(header + pcap.SNAP_LENGTH, this.#snapLength, true);
    out.view.setUint32(header + pcap.LINK_TYPE, this.#link, true);
  }

  packet(out: ByteQueue, packet: Packet): void {
    const header = out.reserve(pcap.PACKET_HEADER + packet.bytes.length);
    out.view.setUint32(header + pcap.SECONDS, Number(packet.time / 1_000_000_000n), true);
    out.view.setUint32(header + pcap.FRACTION, Number(packet.time % 1_000_000_000n), true);
    out.view.setUint32(header + pcap.CAPTURED, packet.bytes.length, true);
    out.view.setUint32(header + pcap.ORIGINAL, packet.length, true);
    out.bytes.set(packet.bytes, header + pcap.PACKET_HEADER);
  }

  end(): void {}
}
