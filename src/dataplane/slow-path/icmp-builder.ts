import { mapIpv4 } from '../../../encap/wire/addresses.ts';
import { finish, sum } from '../../../encap/wire/checksum.ts';
import * as icmp from '../../../encap/wire/icmp.ts';
import * as icmpv6 from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { mayAnswerIpv4, mayAnswerIpv6 } from './answerable.ts';

/**
 * An ICMP message to be sent from a raw socket of the overlay's namespace. There is no IP header in it: the kernel
 * writes that, so the source is a real address of this node that the pod has a route from.
 */
export interface IcmpAnswer {
  family: 4 | 6;
  /** 16 bytes, IPv4 mapped: the sender of the packet that is answered. */
  destination: Uint8Array;
  /** From the type byte on. ICMP: checksum filled. ICMPv6: checksum zero, the kernel's raw socket computes it. */
  message: Uint8Array;
}

/** Largest IP packet that an ICMP error may be (RFC 1812 section 4.3.2.3), so this much of the offender is quoted. */
const QUOTE_IPV4 = 576 - ipv4.MIN_BYTES - icmp.BYTES;
/** As much of the offender as fits the minimum IPv6 MTU (RFC 4443 section 2.4 (c)). */
const QUOTE_IPV6 = ipv6.MIN_MTU - ipv6.BYTES - icmpv6.BYTES;

/**
 * "Nobody here knows that address", for the IP packet of `length` bytes at `off`: ICMP host unreachable, ICMPv6
 * address unreachable.
 * @param linkGroup the frame went to a broadcast or multicast MAC
 * @returns undefined when the packet may not be answered
 */
export function unreachable(
  view: DataView,
  off: number,
  length: number,
  linkGroup = false,
): IcmpAnswer | undefined {
  if (length > 0 && view.getUint8(off) >> 4 === 6) {
    if (!mayAnswerIpv6(view, off, length, linkGroup, false)) return undefined;
    return answerIpv6(view, off, icmpv6.UNREACHABLE, icmpv6.ADDRESS, 0);
  }
  if (!mayAnswerIpv4(view, off, length, linkGroup)) return undefined;
  return answerIpv4(view, off, icmp.UNREACHABLE, icmp.HOST, 0);
}

/**
 * "Send at most `mtu` bytes": ICMP fragmentation needed with the next-hop MTU (RFC 1191 section 4), ICMPv6 packet too
 * big (RFC 4443 section 3.2, RFC 8201). Whether DF is set is not asked here: the path sends a packet with DF clear on,
 * in outer fragments, so none comes here.
 * @param mtu largest inner IP packet that fits; raised to the protocol's own minimum (68, 1280), below which a
 *   receiver would ignore the message
 * @returns undefined when the packet may not be answered
 */
export function tooBig(
  view: DataView,
  off: number,
  length: number,
  mtu: number,
  linkGroup = false,
): IcmpAnswer | undefined {
  if (length > 0 && view.getUint8(off) >> 4 === 6) {
    if (!mayAnswerIpv6(view, off, length, linkGroup, true)) return undefined;
    return answerIpv6(view, off, icmpv6.PACKET_TOO_BIG, 0, Math.max(mtu, ipv6.MIN_MTU));
  }
  if (!mayAnswerIpv4(view, off, length, linkGroup)) return undefined;
  const nextHop = Math.min(Math.max(mtu, ipv4.MIN_MTU), 0xffff);
  return answerIpv4(view, off, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, nextHop);
}

function answerIpv4(view: DataView, off: number, type: number, code: number, rest: number): IcmpAnswer {
  const quoted = Math.min(ipv4.totalLength(view, off), QUOTE_IPV4);
  const message = new Uint8Array(icmp.BYTES + quoted);
  const out = new DataView(message.buffer);
  icmp.emit(out, 0, { type, code, checksum: 0, rest });
  message.set(new Uint8Array(view.buffer, view.byteOffset + off, quoted), icmp.BYTES);
  icmp.setChecksum(out, 0, finish(sum(out, 0, message.length, 0)));
  return { family: 4, destination: mapIpv4(view, off + 12), message };
}

function answerIpv6(view: DataView, off: number, type: number, code: number, rest: number): IcmpAnswer {
  const quoted = Math.min(ipv6.BYTES + ipv6.payloadLength(view, off), QUOTE_IPV6);
  const message = new Uint8Array(icmpv6.BYTES + quoted);
  icmpv6.emit(new DataView(message.buffer), 0, { type, code, checksum: 0, rest });
  message.set(new Uint8Array(view.buffer, view.byteOffset + off, quoted), icmpv6.BYTES);
  const destination = new Uint8Array(view.buffer, view.byteOffset + off + 8, 16).slice();
  return { family: 6, destination, message };
}
