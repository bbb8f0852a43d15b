/*
 * Flags and limits of the native calls. `src/native/constants.h` holds the same numbers; `dataplane/io/check-addon-layout.ts`
 * compares them.
 */

/** Flags of `udpOpen`. */
export const UDP_REUSE_PORT = 1;
/** Sets DF in the outer header: a datagram above the path MTU is refused, not fragmented. */
export const UDP_DONT_FRAGMENT = 2;
export const UDP_IPV6 = 4;
/** Nothing is sent: ICMP errors about the port of this socket change no path MTU. */
export const UDP_RECEIVE_ONLY = 8;

/** Most sockets of one `udpSend`. */
export const UDP_SOCKETS_MAX = 128;
/** Most messages of one `udpReceive`. */
export const UDP_MESSAGES_MAX = 64;

/** Flags of `tunWrite`: what may be merged, and which checksums are accepted. */
export const MERGE_TCP = 1;
export const MERGE_UDP = 2;
/** Accept the partial checksums (CHECKSUM_PARTIAL) of a kernel peer on this host. */
export const ACCEPT_PARTIAL = 4;

/** Results of `waitReadable`, combined: which descriptors are readable. */
export const READY_FIRST = 1;
export const READY_SECOND = 2;

/**
 * Words of `udpMemory` (SK_MEMINFO_*, linux/sock_diag.h): bytes that wait to be received, bytes that wait to be sent, the limit
 * of these, and messages that were dropped, which has 32 bits.
 */
export const SK_MEMINFO_RMEM_ALLOC = 0;
export const SK_MEMINFO_WMEM_ALLOC = 2;
export const SK_MEMINFO_SNDBUF = 3;
export const SK_MEMINFO_DROPS = 8;
/** Number of these words. */
export const SK_MEMINFO_VARS = 9;

/** Bytes of the virtio-net header with num_buffers. Its last eight bytes are where the VXLAN header is written. */
export const VNET_BYTES = 12;
