import { type Encapsulation, OK, outerBytes, RUNT } from './encap.ts';

/*
 * flannel's udp backend on the wire: the bare inner IP packet is the UDP payload, nothing before, nothing behind.
 * Version and lengths of the inner packet are judged with the rest of its headers (wire/ipv4.ts, wire/ipv6.ts).
 * flannel's proxy carries IPv4 only; an IPv6 packet in the same place is told by its version nibble.
 */

/** flannel's default port. */
export const PORT = 8285;

/**
 * OK when the `length` bytes of UDP payload at `off` have room for an IPv4 header, else RUNT. There is no VNI.
 * @hot
 */
export function check(_view: DataView, _off: number, length: number, _vni: number): number {
  return length < 20 ? RUNT : OK;
}

/** No bytes: this format has no header of its own, and no network identifier. */
export function header(_vni: number): Uint8Array {
  return new Uint8Array(0);
}

export const udp: Encapsulation = Object.freeze({
  name: 'udp',
  port: PORT,
  inner: 'ip',
  headerBytes: 0,
  overhead: outerBytes,
  header,
  check,
} satisfies Encapsulation);
