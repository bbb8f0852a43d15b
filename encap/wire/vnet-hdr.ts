/*
 * virtio-net header in front of a TUN or TAP frame (linux/virtio_net.h), little-endian as TUNSETVNETLE asks; every
 * machine that Node runs on here is little-endian, so native order is the same.
 *
 *   0  flags        1
 *   1  gso type     1
 *   2  header length     2   a hint; recompute it
 *   4  gso size     2   payload bytes a segment
 *   6  checksum start    2   from the start of the frame
 *   8  checksum offset   2   from the checksum start
 *  10  buffers      2   only in headers of 12 bytes and more
 */
export const BYTES = 10;

export const NEEDS_CHECKSUM = 1;
export const DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
/** Old fragmentation offload, which no kernel here hands out. */
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Bit of the gso type: the segments carry CWR once. */
export const GSO_ECN = 0x80;
