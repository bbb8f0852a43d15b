import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as icmp from '../../../encap/wire/icmp.ts';
import * as icmpv6 from '../../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';

/** Ports or an identifier of other protocols: SCTP, ESP, GRE. */
const OTHER_BYTES = 8;
const UDP_BYTES = 8;
const TCP_BYTES = 20;
const ARP_BYTES = 28;
const PROTOCOL_AH = 51;
/** The header of an IPv6 extension that tells its length, and a fragment header. */
const EXTENSION_BYTES = 8;
const NEXT_FRAGMENT = 44;
/** Multicast listener and neighbour discovery (RFC 2710, RFC 4861) carry no payload. */
const LISTENER_QUERY = 130;
const NEIGHBOUR_ADVERTISEMENT = 136;

/**
 * Bytes of the headers at the start of a frame: the flight recorder keeps no payload. The packet inside an ICMP error counts as
 * a header, and so do ARP and neighbour discovery. Of a packet that cannot be read, the IP or Ethernet header is kept.
 * @param at offset of the frame
 * @param captured bytes that there are; the result is not larger
 */
export function headerLength(view: DataView, at: number, captured: number, link: 'ethernet' | 'ip'): number {
  let l3 = 0;
  if (link === 'ethernet') {
    l3 = linkBytes(view, at, captured);
    if (l3 === 0) return Math.min(captured, ethernet.BYTES);
    const type = view.getUint16(at + l3 - 2);
    if (type === ethernet.TYPE_ARP) return Math.min(captured, l3 + ARP_BYTES);
    if (type !== ethernet.TYPE_IPV4 && type !== ethernet.TYPE_IPV6) return l3;
  }
  return l3 + Math.min(captured - l3, ipLength(view, at + l3, captured - l3));
}

/** As `headerLength`, of an IP packet; may be larger than `captured`. */
function ipLength(view: DataView, at: number, captured: number): number {
  if (captured < ipv4.MIN_BYTES) return captured;
  const version = view.getUint8(at) >> 4;
  if (version === 6) return ipv6Length(view, at, captured);
  if (version !== 4) return ipv4.MIN_BYTES;
  const header = Math.max(ipv4.MIN_BYTES, ipv4.headerBytes(view, at));
  if (ipv4.fragmentOffset(view, at) !== 0) return header;
  const protocol = ipv4.protocol(view, at);
  if (protocol !== ipv4.PROTOCOL_ICMP)
    return header + upperLength(view, at + header, captured - header, protocol);
  const isError = captured > header && !icmp.isQuery(view.getUint8(at + header));
  return header + icmp.BYTES + (isError ? embedded(view, at, header + icmp.BYTES, captured) : 0);
}

function ipv6Length(view: DataView, at: number, captured: number): number {
  if (captured < ipv6.BYTES) return captured;
  let header = ipv6.BYTES;
  let next = ipv6.nextHeader(view, at);
  while (ipv6.isExtension(next)) {
    if (captured < header + EXTENSION_BYTES) return captured;
    const size = view.getUint8(at + header + 1);
    const isLater = next === NEXT_FRAGMENT && view.getUint16(at + header + 2) >> 3 !== 0;
    const bytes =
      next === NEXT_FRAGMENT
        ? EXTENSION_BYTES
        : next === PROTOCOL_AH
          ? (size + 2) * 4
          : (size + 1) * EXTENSION_BYTES;
    next = view.getUint8(at + header);
    header += bytes;
    if (isLater) return header;
  }
  if (next !== ipv6.NEXT_ICMPV6) return header + upperLength(view, at + header, captured - header, next);
  if (captured <= header) return captured;
  const type = view.getUint8(at + header);
  if (icmpv6.isError(type)) return header + icmp.BYTES + embedded(view, at, header + icmp.BYTES, captured);
  return type >= LISTENER_QUERY && type <= NEIGHBOUR_ADVERTISEMENT ? captured : header + icmp.BYTES;
}

/** Bytes of the packet that an ICMP error quotes, its own payload left out. */
function embedded(view: DataView, at: number, offset: number, captured: number): number {
  return captured > offset ? ipLength(view, at + offset, captured - offset) : 0;
}

function upperLength(view: DataView, at: number, captured: number, protocol: number): number {
  if (protocol === ipv4.PROTOCOL_UDP) return UDP_BYTES;
  if (protocol !== ipv4.PROTOCOL_TCP) return OTHER_BYTES;
  if (captured < TCP_BYTES) return TCP_BYTES;
  return Math.max(TCP_BYTES, (view.getUint8(at + 12) >> 4) * 4);
}
