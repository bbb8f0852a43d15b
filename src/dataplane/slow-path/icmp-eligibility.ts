import { isQuery } from '../../../encap/wire/icmp.ts';
import { isError, REDIRECT } from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';

/*
 * Which packets may trigger an ICMP error. A wrong answer here starts storms of errors, so everything that is not plainly
 * allowed is refused. Pure; reads nothing beyond `length`. Frames to broadcast and multicast MACs never come here: their
 * verdicts are others.
 */

/**
 * Whether the IP packet of `length` bytes at `off` may trigger an ICMP error: RFC 1122 section 3.2.2 and RFC 1812 section
 * 4.3.2.7 for IPv4, RFC 4443 section 2.4 (e) for IPv6.
 * @param isTooBig the error is packet-too-big or fragmentation-needed
 */
export function mayTriggerIcmpError(view: DataView, off: number, length: number, isTooBig: boolean): boolean {
  return isIpv6(view, off, length)
    ? mayTriggerIcmpv6(view, off, length, isTooBig)
    : mayTriggerIcmpv4(view, off, length);
}

export function isIpv6(view: DataView, off: number, length: number): boolean {
  return length > 0 && view.getUint8(off) >> 4 === 6;
}

/** The header is valid with its checksum, a first fragment, from and to one host, and no ICMP error itself. */
function mayTriggerIcmpv4(view: DataView, off: number, length: number): boolean {
  const header = ipv4.check(view, off, length);
  if (header === 0 || !ipv4.isChecksumGood(view, off)) return false;
  if (ipv4.fragmentOffset(view, off) !== 0) return false;
  if (!isHost(view.getUint8(off + 12)) || !isHost(view.getUint8(off + 16))) return false;
  if (ipv4.protocol(view, off) !== ipv4.PROTOCOL_ICMP) return true;
  return ipv4.totalLength(view, off) > header && isQuery(view.getUint8(off + header));
}

/** False for 0/8 (this network), 127/8 (loopback), 224/4 (multicast), 240/4 (reserved, limited broadcast). */
function isHost(firstByte: number): boolean {
  return firstByte !== 0 && firstByte !== 127 && firstByte < 224;
}

/**
 * From the address of one node that can be reached across links, no ICMPv6 error or redirect itself, and no later
 * fragment, which might belong to one. Only packet-too-big may answer a packet to a group: without it multicast could
 * not learn a path MTU.
 */
function mayTriggerIcmpv6(view: DataView, off: number, length: number, isTooBig: boolean): boolean {
  if (ipv6.check(view, off, length) === 0 || !isNode(view, off + 8)) return false;
  if (!isTooBig && view.getUint8(off + 24) === 0xff) return false;
  const upper = ipv6.upperLayer(view, off);
  if (upper < 0 || upper & ipv6.UPPER_LATER_FRAGMENT) return false;
  if (ipv6.upperProtocol(upper) !== ipv6.NEXT_ICMPV6) return true;
  const at = ipv6.upperOffset(upper);
  if (ipv6.BYTES + ipv6.payloadLength(view, off) <= at) return false;
  const type = view.getUint8(off + at);
  return !isError(type) && type !== REDIRECT;
}

/** False for unspecified, loopback, IPv4-mapped, multicast and link-local addresses: no route leads back to one sender. */
function isNode(view: DataView, off: number): boolean {
  const first = view.getUint16(off);
  if (first >= 0xff00 || (first & 0xffc0) === 0xfe80) return false;
  // ::/96 holds unspecified and loopback, ::ffff:0:0/96 the mapped ones.
  const high = view.getUint32(off) | view.getUint32(off + 4);
  const low = view.getUint32(off + 8);
  return high !== 0 || (low !== 0 && low !== 0xffff);
}
