import { hex } from './hex.ts';

/*
 * Datagrams of flannel's udp format: a bare IPv4 packet that a UDP socket of the kernel (6.18.44) sent, from the outer
 * Ethernet header on, captured as in kernel-vxlan.ts. The inner packet is the one of TAGGED there.
 */

/** Over IPv4, port 8285 on both sides. */
export const INNER_4_OVER_4 = hex(`
  02000000 0a020200 00000a01 08004500 003b1021 40004011 a68dc000 0201c000 0202205d 205d0027
  53e64500 001f0001 40004011 21e60af4 01000af4 02009c40 14e9000b 5b5d7669 64
`);

/** Over IPv6, port 8285 on both sides. */
export const INNER_4_OVER_6 = hex(`
  02000000 0a020200 00000a01 86dd6001 11670027 11402001 0db80000 00000000 00000000 00012001
  0db80000 00000000 00000000 0002205d 205d0027 7c754500 001f0001 40004011 21e60af4 01000af4
  02009c40 14e9000b 5b5d7669 64
`);
