import { hex } from './hex.ts';

/*
 * Datagrams of flannel's udp format: a bare IPv4 packet that a UDP socket of the kernel (6.18.44) sent, from the outer
 * Ethernet header on, captured as in kernel-vxlan.ts. The inner packet is the one of TAGGED there.
 */

/** Over IPv4, port 8285 on both sides. */
export const INNER_4_OVER_4 = hex(`
  02 0000000a 02020000 000a0108 00450000 3b102140 004011a6 8dc00002 01c00002 02205d20
  5d002753 e6450000 1f000140 00401121 e60af401 000af402 009c4014 e9000b5b 5d766964
`);

/** Over IPv6, port 8285 on both sides. */
export const INNER_4_OVER_6 = hex(`
  02 0000000a 02020000 000a0186 dd600111 67002711 4020010d b8000000 00000000 00000000
  0120010d b8000000 00000000 00000000 02205d20 5d00277c 75450000 1f000140 00401121 e60af401
  000af402 009c4014 e9000b5b 5d766964
`);
