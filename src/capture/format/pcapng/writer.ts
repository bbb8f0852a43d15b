import { elementAt } from '../../../base/at.ts';
import type { ByteQueue } from '../byte-queue.ts';
import type { CaptureFormat, CaptureInterface, InterfaceStatistics, Packet } from '../packet.ts';
import * as ng from './blocks.ts';

/** Options of the section header. */
export interface SectionInfo {
  /** Program and version: `ripstop 0.1.0`. */
  readonly application: string;
  /** Kernel of the node. */
  readonly os?: string;
  readonly comments?: readonly string[];
}

const encoder = new TextEncoder();
/** Maximum bytes of a text option. Its length is a 16-bit field; longer texts are cut at a whole character. */
const TEXT_MAX = 4096;

/**
 * Writes pcapng (draft-ietf-opsawg-pcapng) in little-endian order with nanosecond timestamps: one section, one interface
 * block per capture point, enhanced packet blocks with direction, loss and comments, and statistics at the end.
 */
export class PcapngFormat implements CaptureFormat {
  readonly #interfaces: readonly CaptureInterface[];
  readonly #info: SectionInfo;

  constructor(interfaces: readonly CaptureInterface[], info: SectionInfo) {
    this.#interfaces = interfaces;
    this.#info = info;
  }

  begin(out: ByteQueue): void {
    const block = openBlock(out, ng.SECTION_HEADER, 16);
    out.view.setUint32(block + 8, ng.BYTE_ORDER_MAGIC, true);
    out.view.setUint16(block + 12, 1, true);
    // The length of the section is unknown while it is written: all ones.
    out.view.setUint32(block + 16, 0xffffffff, true);
    out.view.setUint32(block + 20, 0xffffffff, true);
    for (const comment of this.#info.comments ?? []) textOption(out, ng.OPT_COMMENT, comment);
    if (this.#info.os) textOption(out, ng.SHB_OS, this.#info.os);
    textOption(out, ng.SHB_USERAPPL, this.#info.application);
    closeBlock(out, block, true);
    for (const point of this.#interfaces) describe(out, point);
  }

  packet(out: ByteQueue, packet: Packet): void {
    const captured = packet.bytes.length;
    const block = openBlock(out, ng.ENHANCED_PACKET, ng.ENHANCED_PACKET_FIXED + ng.padded(captured));
    const view = out.view;
    view.setUint32(block + 8, packet.interface, true);
    setTime(view, block + 12, packet.time);
    view.setUint32(block + 20, captured, true);
    view.setUint32(block + 24, packet.length, true);
    out.bytes.set(packet.bytes, block + 28);
    const optionsAt = out.length;
    if (packet.direction) {
      const at = openOption(out, ng.EPB_FLAGS, 4);
      out.view.setUint32(at, packet.direction === 'in' ? ng.FLAGS_INBOUND : ng.FLAGS_OUTBOUND, true);
    }
    if (packet.dropped !== undefined) countOption(out, ng.EPB_DROPCOUNT, packet.dropped);
    for (const comment of packet.comments ?? []) textOption(out, ng.OPT_COMMENT, comment);
    closeBlock(out, block, out.length > optionsAt);
  }

  end(out: ByteQueue, statistics: readonly InterfaceStatistics[]): void {
    for (const [index, counts] of statistics.entries()) {
      const block = openBlock(out, ng.INTERFACE_STATISTICS, 12);
      out.view.setUint32(block + 8, index, true);
      setTime(out.view, block + 12, counts.ended);
      timeOption(out, ng.ISB_STARTTIME, counts.started);
      timeOption(out, ng.ISB_ENDTIME, counts.ended);
      countOption(out, ng.ISB_IFRECV, counts.received);
      countOption(out, ng.ISB_IFDROP, counts.dropped);
      countOption(out, ng.ISB_FILTERACCEPT, counts.accepted);
      countOption(out, ng.ISB_USRDELIV, counts.delivered);
      closeBlock(out, block, true);
    }
  }
}

function describe(out: ByteQueue, point: CaptureInterface): void {
  const block = openBlock(out, ng.INTERFACE_DESCRIPTION, 8);
  out.view.setUint16(block + 8, point.link, true);
  out.view.setUint32(block + 12, point.snapLength, true);
  if (point.name) textOption(out, ng.IF_NAME, point.name);
  if (point.description) textOption(out, ng.IF_DESCRIPTION, point.description);
  // The first byte of the option is the language of the filter: 0 is libpcap's.
  if (point.filter) textOption(out, ng.IF_FILTER, `\0${point.filter}`);
  const resolution = openOption(out, ng.IF_TSRESOL, 1);
  out.view.setUint8(resolution, 9);
  closeBlock(out, block, true);
}

/** Begins a block with `fixed` zero bytes of body. Returns its offset. */
function openBlock(out: ByteQueue, type: number, fixed: number): number {
  const block = out.reserve(8 + fixed);
  out.view.setUint32(block, type, true);
  return block;
}

/** Ends the options, if there are any, and writes both lengths of the block. */
function closeBlock(out: ByteQueue, block: number, options: boolean): void {
  if (options) out.reserve(4);
  const end = out.reserve(4);
  const length = end + 4 - block;
  out.view.setUint32(block + 4, length, true);
  out.view.setUint32(end, length, true);
}

/** Adds an option of `length` bytes and returns the offset of its value. Replaces `out.view` if the queue grows. */
function openOption(out: ByteQueue, code: number, length: number): number {
  const option = out.reserve(4 + ng.padded(length));
  out.view.setUint16(option, code, true);
  out.view.setUint16(option + 2, length, true);
  return option + 4;
}

function textOption(out: ByteQueue, code: number, text: string): void {
  const bytes = encoder.encode(text);
  let length = Math.min(bytes.length, TEXT_MAX);
  if (length < bytes.length) while ((elementAt(bytes, length) & 0xc0) === 0x80) length--;
  const at = openOption(out, code, length);
  out.bytes.set(bytes.subarray(0, length), at);
}

function countOption(out: ByteQueue, code: number, count: bigint): void {
  const at = openOption(out, code, 8);
  out.view.setBigUint64(at, count, true);
}

function timeOption(out: ByteQueue, code: number, time: bigint): void {
  const at = openOption(out, code, 8);
  setTime(out.view, at, time);
}

/** Writes a timestamp: two words, the high one first in every byte order. */
function setTime(view: DataView, offset: number, time: bigint): void {
  view.setUint32(offset, Number((time >> 32n) & 0xffffffffn), true);
  view.setUint32(offset + 4, Number(time & 0xffffffffn), true);
}
