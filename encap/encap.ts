/*
 * The interface of both wire formats, which the forwarder, the agent and the capture use. Pure; a format is a frozen value
 * without state.
 */

/** IP version. */
export type Family = 4 | 6;

/** The datagram holds a frame of ours. */
export const OK = 0;
/** Too short for the headers that must be there. */
export const RUNT = 1;
/** VXLAN flags other than the I bit alone, or reserved bits set. */
export const BAD_FLAGS = 2;
/** The VXLAN network identifier is not ours. */
export const WRONG_VNI = 3;

export type Mode = 'vxlan' | 'udp';

export interface Encapsulation {
  readonly name: Mode;
  /** UDP destination port when nothing else is configured. */
  readonly port: number;
  /** What the frame inside is: an Ethernet frame (TAP) or an IP packet (TUN). */
  readonly inner: 'ethernet' | 'ip';
  /** Bytes between the UDP header and the frame. */
  readonly headerBytes: number;
  /** Bytes that an inner IP packet grows by up to the outer IP packet, the inner Ethernet header included. */
  overhead(underlay: Family): number;
  /** The bytes between UDP header and frame, equal for every frame to every peer of one network. */
  header(vni: number): Uint8Array;
  /**
   * Checks the `length` bytes of UDP payload at `off`: OK or the fault. Of the frame inside it only checks that there is room
   * for the first header. Allocates nothing.
   */
  check(view: DataView, off: number, length: number, vni: number): number;
}

/** Bytes of outer IP header (without options) and UDP header. */
export function outerBytes(underlay: Family): number {
  return underlay === 4 ? 28 : 48;
}
