import { isQuery } from '../../../encap/wire/icmp.ts';
import { isError, REDIRECT } from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';

/*
 * Which packets may be answered with an ICMP error at all. A wrong answer here is how storms begin, so everything
 * that is not plainly allowed is refused. Pure; reads nothing beyond `length`.
 */

/**
 * RFC 1122 section 3.2.2 and RFC 1812 section 4.3.2.7 for the IPv4 packet at `off`: header valid with its checksum,
 * a first fragment, from and to one single host, not an ICMP error itself, not a link-layer broadcast or multicast.
 */
export function mayAnswerIpv4(view: DataView, off: number, length: number, linkGroup: boolean): boolean {
  const header = ipv4.check(view, off, length);
  if (header === 0 || linkGroup || !ipv4.isChecksumGood(view, off)) return false;
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
 * RFC 4443 section 2.4 (e) for the IPv6 packet at `off`: from one node's address that can be answered across links,
 * not an ICMPv6 error or redirect, not a later fragment (it might belong to one), and to no group, neither of IPv6 nor
 * of the link; the last does not hold for packet-too-big (`tooBig`), without which multicast could not learn a path MTU.
 */
export function mayAnswerIpv6(
  view: DataView,
  off: number,
  length: number,
  linkGroup: boolean,
  tooBig: boolean,
): boolean {
  if (ipv6.check(view, off, length) === 0 || !isNode(view, off + 8)) return false;
  if (!tooBig && (linkGroup || view.getUint8(off + 24) === 0xff)) return false;
  const upper = ipv6.upperLayer(view, off);
  if (upper < 0 || upper & ipv6.UPPER_LATER_FRAGMENT) return false;
  if (ipv6.upperProtocol(upper) !== ipv6.NEXT_ICMPV6) return true;
  const at = ipv6.upperOffset(upper);
  if (ipv6.BYTES + ipv6.payloadLength(view, off) <= at) return false;
  const type = view.getUint8(off + at);
  return !isError(type) && type !== REDIRECT;
}

/** False for unspecified, loopback, IPv4-mapped, multicast and link-local: none leads back to one sender by routing. */
function isNode(view: DataView, off: number): boolean {
  const first = view.getUint16(off);
  if (first >= 0xff00 || (first & 0xffc0) === 0xfe80) return false;
  // ::/96 holds unspecified and loopback, ::ffff:0:0/96 the mapped ones.
  const high = view.getUint32(off) | view.getUint32(off + 4);
  const low = view.getUint32(off + 8);
  return high !== 0 || (low !== 0 && low !== 0xffff);
}
