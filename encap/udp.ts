import { type Encapsulation, OK, outerBytes, RUNT } from './encap.ts';

/*
 * flannel's udp backend on the wire: the bare inner IP packet is the UDP payload, nothing before, nothing behind.
 * Version and lengths of the inner packet are checked with the rest of its headers (wire/ipv4.ts, wire/ipv6.ts).
 * flannel's proxy carries IPv4 only; here the version nibble distinguishes IPv6 packets.
 */

/**
 * OK when the `length` bytes of UDP payload at `off` have room for an IPv4 header, else RUNT. There is no VNI.
 * @hot
 */
export function check(_view: DataView, _off: number, length: number, _vni: number): number {
  return length < 20 ? RUNT : OK;
}

export const udp: Encapsulation = Object.freeze({
  name: 'udp',
  /** flannel's default port. */
  port: 8285,
  inner: 'ip',
  headerBytes: 0,
  overhead: outerBytes,
  header: () => new Uint8Array(0),
  check,
} satisfies Encapsulation);
