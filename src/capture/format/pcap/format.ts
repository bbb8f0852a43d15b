/**
 * Numbers of the classic capture file: draft-ietf-opsawg-pcap. The magic determines the byte order and the unit of the
 * second timestamp word.
 */
export const MAGIC_MICRO = 0xa1b2c3d4;
export const MAGIC_NANO = 0xa1b23c4d;
/** Magic of a patched libpcap of the nineties, whose packet headers are longer. */
export const MAGIC_PATCHED = 0xa1b2cd34;

export const FILE_HEADER = 24;
export const PACKET_HEADER = 16;
/** Offsets inside the file header. */
export const VERSION_MAJOR = 4;
export const VERSION_MINOR = 6;
export const SNAP_LENGTH = 16;
export const LINK_TYPE = 20;
/**
 * Bits of the link type. Above it: whether the length of a frame check sequence is given, and that length in units of two
 * bytes.
 */
export const LINK_MASK = 0xffff;
export const FCS_PRESENT = 0x04000000;
export const FCS_SHIFT = 28;
/** Versions 2.0 to 2.4 differ in the order of the two lengths of a packet (libpcap's sf-pcap.c). */
export const VERSION_SWAPPED = 2;
export const VERSION_UNSURE = 3;
export const VERSION_LATEST = 4;
/** Offsets inside a packet header. */
export const SECONDS = 0;
export const FRACTION = 4;
export const CAPTURED = 8;
export const ORIGINAL = 12;

/** Maximum bytes of a packet that libpcap writes and reads (MAXIMUM_SNAPLEN). */
export const CAPTURED_MAX = 262144;
