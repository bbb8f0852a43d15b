/**
 * The peer table: one record a remote node, read by the native senders. A record is thirty-two int32; `src/native`
 * holds the same numbers and `load.ts` compares them. One writer (the control thread), published by generation.
 */
export const PEER_STRIDE = 32;
/** 4 or 6: family of the underlay address; 0 marks an empty record. */
export const PEER_FAMILY = 0;
/** UDP destination port, host byte order. */
export const PEER_PORT = 1;
/** Underlay address, 16 bytes in network order in four words (IPv4 as ::ffff:a.b.c.d). */
export const PEER_ADDRESS = 2;
/** Largest outer IP packet that the path takes, bytes. */
export const PEER_PATH_MTU = 6;
/** Largest inner IP packet that fits the path, bytes: the path MTU less the encapsulation's overhead. */
export const PEER_INNER_MTU = 7;
/** Bytes of the encapsulation header in front of every frame: 8 for VXLAN, 0 for udp. */
export const PEER_HEADER_BYTES = 8;
/** That header, as it stands on the wire: 8 bytes in two words. */
export const PEER_HEADER = 9;
/** VTEP MAC of the peer: first two bytes in bits 0..15 of the first word, last four in the second, big-endian values. */
export const PEER_MAC = 11;
/** IPv6 scope (interface index) of a link-local underlay address, else 0. */
export const PEER_SCOPE = 13;
