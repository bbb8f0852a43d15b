import type { ByteSource } from '../byte-source.ts';
import { broken } from '../reader.ts';
import * as pcap from './format.ts';

/** Fields of the file header of a classic capture. */
export interface PcapHeader {
  readonly littleEndian: boolean;
  readonly nanoseconds: boolean;
  readonly snapLength: number;
  readonly link: number;
  /** Bytes of the frame check sequence at the end of each packet. */
  readonly fcsBytes: number;
  /** Minor version. */
  readonly minor: number;
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
  if (major !== 2 || minor > pcap.VERSION_LATEST)
    broken(name, 0, `pcap version ${major}.${minor} is not within 2.0 to 2.4`);
  const link = view.getUint32(pcap.LINK_TYPE, littleEndian);
  return {
    littleEndian,
    nanoseconds: magic === pcap.MAGIC_NANO || swapped === pcap.MAGIC_NANO,
    snapLength: view.getUint32(pcap.SNAP_LENGTH, littleEndian),
    link: link & pcap.LINK_MASK,
    fcsBytes: (link & pcap.FCS_PRESENT) === 0 ? 0 : (link >>> pcap.FCS_SHIFT) * 2,
    minor,
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
    const captured = capturedOf(view, header);
    if (captured > pcap.CAPTURED_MAX)
      broken(name, source.offset, `a packet of ${captured} bytes is larger than ${pcap.CAPTURED_MAX}`);
    const length = pcap.PACKET_HEADER + captured;
    if (!(await source.fill(length)))
      broken(name, source.offset, `the file ends inside a packet (${source.ready} of ${length} bytes)`);
    yield inOrder(source.take(length), captured, header);
  }
}

/** Captured bytes of a packet. Files before version 2.3 have the two lengths in the other order, those of 2.3 may. */
function capturedOf(view: DataView, { minor, littleEndian }: PcapHeader): number {
  const [first, second] = [pcap.CAPTURED, pcap.ORIGINAL].map(at => view.getUint32(at, littleEndian)) as [
    number,
    number,
  ];
  if (minor <= pcap.VERSION_SWAPPED) return second;
  return minor === pcap.VERSION_UNSURE ? Math.min(first, second) : first;
}

/** The record with its captured length first. */
function inOrder(record: Uint8Array, captured: number, { minor, littleEndian }: PcapHeader): Uint8Array {
  if (minor >= pcap.VERSION_LATEST) return record;
  const copy = record.slice();
  const view = new DataView(copy.buffer);
  const original =
    view.getUint32(pcap.CAPTURED, littleEndian) + view.getUint32(pcap.ORIGINAL, littleEndian) - captured;
  view.setUint32(pcap.CAPTURED, captured, littleEndian);
  view.setUint32(pcap.ORIGINAL, original, littleEndian);
  return copy;
}
