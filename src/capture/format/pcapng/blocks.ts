/**
 * Numbers of the pcapng format: draft-ietf-opsawg-pcapng, sections 3 and 4. Names as in the draft.
 */
export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
/** Obsolete, still found in old files. */
export const OLD_PACKET = 2;
export const SIMPLE_PACKET = 3;
export const INTERFACE_STATISTICS = 5;
export const ENHANCED_PACKET = 6;

/** First field of a section, which shows its byte order. */
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const BYTE_ORDER_MAGIC_SWAPPED = 0x4d3c2b1a;

export const OPT_ENDOFOPT = 0;
export const OPT_COMMENT = 1;

export const SHB_OS = 3;
export const SHB_USERAPPL = 4;

export const IF_NAME = 2;
export const IF_DESCRIPTION = 3;
export const IF_TSRESOL = 9;
export const IF_FILTER = 11;
export const IF_TSOFFSET = 14;

export const EPB_FLAGS = 2;
export const EPB_DROPCOUNT = 4;
/** Bits 0..1 of epb_flags. */
export const FLAGS_DIRECTION = 3;
export const FLAGS_INBOUND = 1;
export const FLAGS_OUTBOUND = 2;

export const ISB_STARTTIME = 2;
export const ISB_ENDTIME = 3;
export const ISB_IFRECV = 4;
export const ISB_IFDROP = 5;
export const ISB_FILTERACCEPT = 6;
export const ISB_USRDELIV = 8;

/** Bytes of a block without its body: type, length, length again at the end. */
export const BLOCK_FRAME = 12;
/** Bytes of the fixed part of an enhanced packet block's body. */
export const ENHANCED_PACKET_FIXED = 20;

/** `n` rounded up to a multiple of four bytes, the alignment of pcapng. */
export function padded(n: number): number {
  return (n + 3) & ~3;
}
