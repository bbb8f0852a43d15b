import { TYPE_IPV4, TYPE_IPV6 } from '../../../encap/wire/ethernet.ts';
import {
  MIN_BYTES as IPV4_MIN_BYTES,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../../encap/wire/ipv4.ts';
import { BYTES as IPV6_BYTES } from '../../../encap/wire/ipv6.ts';
import { MIN_BYTES as TCP_MIN_BYTES } from '../../../encap/wire/tcp.ts';
import { BYTES as UDP_BYTES } from '../../../encap/wire/udp.ts';
import { GSO_UDP_L4 } from '../../../encap/wire/vnet-hdr.ts';

/*
 * What the fast path reads of an inner IP header. All hot: numbers in, numbers out. Offsets of header fields are literals
 * (RFC 791, RFC 8200).
 */

/**
 * Hash of the inner flow, both addresses, protocol and ports, not negative. Fragments and unknown protocols hash by
 * address alone, so that all parts of a packet keep one source port and one order.
 * @param ip offset of the IP header
 * @param length bytes of the IP packet that are there, at least 20 (IPv4) or 40 (IPv6)
 * @hot
 */
export function flowHash(view: DataView, ip: number, length: number): number {
  let hash = 0;
  let ports = 0;
  if (view.getUint8(ip) >>> 4 === 4) {
    const protocol = view.getUint8(ip + 9);
    const l4 = (view.getUint8(ip) & 15) << 2;
    hash = Math.imul(view.getInt32(ip + 12), 0x2c1b3c6d) ^ Math.imul(view.getInt32(ip + 16), 0x297a2d39);
    hash = (hash + protocol) | 0;
    const whole = (view.getUint16(ip + 6) & 0x3fff) === 0;
    if (
      whole &&
      (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP || protocol === PROTOCOL_SCTP) &&
      length >= l4 + 4
    )
      ports = view.getInt32(ip + l4);
  } else {
    const next = view.getUint8(ip + 6);
    hash = Math.imul(view.getInt32(ip + 8) ^ view.getInt32(ip + 16), 0x2c1b3c6d);
    hash = (hash ^ Math.imul(view.getInt32(ip + 12) ^ view.getInt32(ip + 20), 0x297a2d39)) | 0;
    hash = (hash + Math.imul(view.getInt32(ip + 24) ^ view.getInt32(ip + 32), 0x27d4eb2d)) | 0;
    hash = (hash ^ Math.imul(view.getInt32(ip + 28) ^ view.getInt32(ip + 36), 0x165667b1)) | 0;
    hash = (hash + next) | 0;
    if (
      (next === PROTOCOL_TCP || next === PROTOCOL_UDP || next === PROTOCOL_SCTP) &&
      length >= IPV6_BYTES + 4
    )
      ports = view.getInt32(ip + IPV6_BYTES);
  }
  hash = Math.imul(hash ^ (hash >>> 15) ^ ports, 0x1b873593);
  hash = Math.imul(hash ^ (hash >>> 13), 0x2545f491);
  return (hash ^ (hash >>> 16)) & 0x7fffffff;
}

/**
 * Bytes of the IP packet at `ip` when it is of `version` and its length fields fit the `length` bytes that are there, else
 * -1. Padding behind the packet is allowed.
 * @hot
 */
export function packetBytes(view: DataView, ip: number, length: number, version: number): number {
  if (length < IPV4_MIN_BYTES || view.getUint8(ip) >>> 4 !== version) return -1;
  if (version === 4) {
    const header = (view.getUint8(ip) & 15) << 2;
    const total = view.getUint16(ip + 2);
    return header >= IPV4_MIN_BYTES && header <= total && total <= length ? total : -1;
  }
  if (version !== 6 || length < IPV6_BYTES) return -1;
  const total = IPV6_BYTES + view.getUint16(ip + 4);
  return total <= length ? total : -1;
}

/**
 * The IP version of an EtherType, 0 for any other type.
 * @hot
 */
export function ipVersion(type: number): number {
  return type === TYPE_IPV4 ? 4 : type === TYPE_IPV6 ? 6 : 0;
}

/**
 * Bytes of the largest IP packet that a GSO packet is segmented into: headers and one segment of payload.
 * @param ip offset of the IP header
 * @param l4 offset of the TCP or UDP header
 * @param length bytes of the frame from `ip`
 * @hot
 */
export function segmentBytes(
  view: DataView,
  ip: number,
  l4: number,
  length: number,
  gsoType: number,
  gsoSize: number,
): number {
  const start = l4 - ip;
  if (start < IPV4_MIN_BYTES || length < start + TCP_MIN_BYTES) return length;
  const header = gsoType === GSO_UDP_L4 ? UDP_BYTES : (view.getUint8(l4 + 12) >>> 4) << 2;
  const bytes = start + header + gsoSize;
  return Math.min(bytes, length);
}
