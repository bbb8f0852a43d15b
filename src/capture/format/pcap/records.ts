import type { ByteSource } from '../byte-source.ts';
import { broken } from '../reader.ts';
import * as pcap from './format.ts';

/** Fields of the file header of a classic capture. */
export interface PcapHeader {
  readonly littleEndian: boolean;
  readonly nanoseconds: boolean;
  readonly snapLength: number;
  readonly link: number;
  /** The header as in the file. */
  readonly bytes: Uint8Array;
}

/** Reads and checks the file header: magic, version and link type. Throws RipstopError ECAPTURE. */
export async function readPcapHeader(source: ByteSource, name: string): Promise<PcapHeader> {
  if (!(await source.fill(pcap.FILE_HEADER)))
    broken(name, 0, `the file ends inside the file header (${source.ready} of ${pcap.FILE_HEADER} bytes)`);
  const bytes = source.take(pcap.FILE_HEADER).slice();
  const view = new DataView(bytes.buffer);
  const magic = view.getUint32(0);
  const swapped = view.getUint32(0, true);
  const littleEndian = swapped === pcap.MAGIC_MICRO || swapped === pcap.MAGIC_NANO;
  const major = view.getUint16(pcap.VERSION_MAJOR, littleEndian);
  const minor = view.getUint16(pcap.VERSION_MINOR, littleEndian);
  if (major !== 2 || minor !== 4) broken(name, 0, `pcap version ${major}.${minor} is not 2.4`);
  return {
    littleEndian,
    nanoseconds: magic === pcap.MAGIC_NANO || swapped === pcap.MAGIC_NANO,
    snapLength: view.getUint32(pcap.SNAP_LENGTH, littleEndian),
    link: view.getUint32(pcap.LINK_TYPE, littleEndian) & pcap.LINK_MASK,
    bytes,
  };
}

/**
 * Splits the stream after the file header into records (header and bytes) and checks their lengths. Throws RipstopError
 * ECAPTURE.
 */
export async function* pcapRecords(source: ByteSource, header: PcapHeader, name: string) {
  for (;;) {
    if (!(await source.fill(pcap.PACKET_HEADER))) {
      if (source.ready === 0) return;
      broken(name, source.offset, `the file ends inside a packet header (${source.ready} of 16 bytes)`);
    }
    const head = source.peek(pcap.PACKET_HEADER);
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    const captured = view.getUint32(pcap.CAPTURED, header.littleEndian);
    if (captured > pcap.CAPTURED_MAX)
      broken(name, source.offset, `a packet of ${captured} bytes is larger than ${pcap.CAPTURED_MAX}`);
    const length = pcap.PACKET_HEADER + captured;
    if (!(await source.fill(length)))
      broken(name, source.offset, `the file ends inside a packet (${source.ready} of ${length} bytes)`);
    yield source.take(length);
  }
}
