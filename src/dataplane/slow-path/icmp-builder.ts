import { mapIpv4 } from '../../../encap/wire/addresses.ts';
import { finish, sum } from '../../../encap/wire/checksum.ts';
import * as icmp from '../../../encap/wire/icmp.ts';
import * as icmpv6 from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { isIpv6 } from './icmp-eligibility.ts';

/**
 * An ICMP error to be sent from a raw socket of the overlay's namespace, without IP header: the kernel writes the header,
 * so that the source is an address of this node that routes to the pod.
 */
export interface IcmpError {
  family: 4 | 6;
  /** 16 bytes, IPv4 mapped: the sender of the packet that triggered the error. */
  destination: Uint8Array;
  /** From the type byte on. ICMP: checksum filled. ICMPv6: checksum zero, the kernel's raw socket computes it. */
  message: Uint8Array;
}

/** Bytes quoted of the packet: an ICMP error is at most this large (RFC 1812 section 4.3.2.3). */
const QUOTE_IPV4 = 576 - ipv4.MIN_BYTES - icmp.BYTES;
/** Bytes quoted of the packet: as many as fit the minimum IPv6 MTU (RFC 4443 section 2.4 (c)). */
const QUOTE_IPV6 = ipv6.MIN_MTU - ipv6.BYTES - icmpv6.BYTES;

/**
 * ICMP host unreachable or ICMPv6 address unreachable for the IP packet of `length` bytes at `off`, which must be one that
 * `mayTriggerIcmpError`.
 */
export function buildUnreachable(view: DataView, off: number, length: number): IcmpError {
  return isIpv6(view, off, length)
    ? buildIcmpv6(view, off, icmpv6.UNREACHABLE, icmpv6.ADDRESS, 0)
    : buildIcmpv4(view, off, icmp.UNREACHABLE, icmp.HOST, 0);
}

/**
 * ICMP fragmentation needed with the next-hop MTU (RFC 1191 section 4) or ICMPv6 packet too big (RFC 4443 section 3.2, RFC
 * 8201), for a packet that `mayTriggerIcmpError`. DF is not checked here: packets without DF are forwarded in outer
 * fragments and never come here.
 * @param mtu largest inner IP packet that fits; raised to the protocol's own minimum (68, 1280), below which a
 *   receiver would ignore the message
 */
export function buildTooBig(view: DataView, off: number, length: number, mtu: number): IcmpError {
  if (isIpv6(view, off, length))
    return buildIcmpv6(view, off, icmpv6.PACKET_TOO_BIG, 0, Math.max(mtu, ipv6.MIN_MTU));
  const nextHop = Math.min(Math.max(mtu, ipv4.MIN_MTU), 0xffff);
  return buildIcmpv4(view, off, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, nextHop);
}

function buildIcmpv4(view: DataView, off: number, type: number, code: number, rest: number): IcmpError {
  const quoted = Math.min(ipv4.totalLength(view, off), QUOTE_IPV4);
  const message = new Uint8Array(icmp.BYTES + quoted);
  const out = new DataView(message.buffer);
  icmp.emit(out, 0, { type, code, checksum: 0, rest });
  message.set(new Uint8Array(view.buffer, view.byteOffset + off, quoted), icmp.BYTES);
  icmp.setChecksum(out, 0, finish(sum(out, 0, message.length, 0)));
  return { family: 4, destination: mapIpv4(view, off + 12), message };
}

function buildIcmpv6(view: DataView, off: number, type: number, code: number, rest: number): IcmpError {
  const quoted = Math.min(ipv6.BYTES + ipv6.payloadLength(view, off), QUOTE_IPV6);
  const message = new Uint8Array(icmpv6.BYTES + quoted);
  icmpv6.emit(new DataView(message.buffer), 0, { type, code, checksum: 0, rest });
  message.set(new Uint8Array(view.buffer, view.byteOffset + off, quoted), icmpv6.BYTES);
  const destination = new Uint8Array(view.buffer, view.byteOffset + off + 8, 16).slice();
  return { family: 6, destination, message };
}
