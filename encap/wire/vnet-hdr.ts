/*
 * Values of the virtio-net header in front of a TUN or TAP frame (linux/virtio_net.h). The addon reads and writes the header.
 */

/** Bit of the flags: the checksum is partial. */
export const NEEDS_CHECKSUM = 1;

/* GSO types. */
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Bit of the GSO type: the first segment carries CWR. */
export const GSO_ECN = 0x80;
