import type { Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import * as vxlan from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';

/*
 * A capture shows the datagrams of one message as a single datagram: what a sender hands over with UDP_SEGMENT is captured
 * before it is cut, and what UDP_GRO merged is captured after (udp(7)). All parts but the last have one size. Captures
 * do not have that size, so it is taken from the lengths inside the first part, and the other parts must look like
 * datagrams of the overlay.
 */

/** A datagram of a payload. */
export interface DatagramPart {
  readonly offset: number;
  readonly length: number;
}

/** Shortest Ethernet frame without its checksum (IEEE 802.3 clause 3.2.8): a shorter one may have been padded. */
const FRAME_MIN = 60;
/** Bytes of the shortest part: VXLAN, Ethernet and the first IP bytes; or an IPv4 header. */
const PART_MIN: Readonly<Record<Mode, number>> = { vxlan: 8 + 14 + 20, udp: 20 };

/**
 * The datagrams of a UDP payload, one where nothing was merged.
 * @param captured bytes of `payload` that are in the file; the others are zeros
 */
export function partsOf(payload: Uint8Array, captured: number, mode: Mode): DatagramPart[] {
  const whole = [{ offset: 0, length: payload.length }];
  const view = viewOf(payload);
  for (const size of sizesOf(view, captured, mode)) {
    if (size >= payload.length) continue;
    const parts: DatagramPart[] = [];
    for (let offset = 0; offset < payload.length; offset += size)
      parts.push({ offset, length: Math.min(size, payload.length - offset) });
    if (areDatagrams(view, parts.slice(1), captured, mode)) return parts;
  }
  return whole;
}

/** Sizes that the first part may have, the most likely first. */
function sizesOf(view: DataView, captured: number, mode: Mode): number[] {
  const header = FORMATS[mode].headerBytes;
  if (mode === 'udp') return [ipBytes(view, 0, captured)].filter(size => size > 0);
  const link = linkBytes(view, header, captured - header);
  if (link === 0) return [];
  const l3 = header + link;
  const type = view.getUint16(l3 - 2);
  const packet = type === ethernet.TYPE_ARP ? arp.BYTES : ipBytes(view, l3, captured - l3);
  if (packet > 0) return [l3 + packet, Math.max(l3 + packet, header + FRAME_MIN)];
  // A first part with a broken frame: the next part begins with the same eight bytes.
  const next = nextHeader(view, captured, PART_MIN.vxlan);
  return next > 0 ? [next] : [];
}

/** Bytes of the IP packet at `at` by its own length field, 0 when its header is not there. */
function ipBytes(view: DataView, at: number, there: number): number {
  if (there < ipv4.MIN_BYTES) return 0;
  const version = view.getUint8(at) >> 4;
  const room = view.byteLength - at;
  if (version === 4) return ipv4.check(view, at, room) === 0 ? 0 : ipv4.totalLength(view, at);
  if (version !== 6 || there < ipv6.BYTES || ipv6.check(view, at, room) === 0) return 0;
  return ipv6.BYTES + ipv6.payloadLength(view, at);
}

/** Offset of the next VXLAN header that is equal to the first one, 0 for none. */
function nextHeader(view: DataView, captured: number, least: number): number {
  const [high, low] = [view.getUint32(0), view.getUint32(4)];
  for (let at = least; at + vxlan.HEADER_BYTES <= captured; at++)
    if (view.getUint32(at) === high && view.getUint32(at + 4) === low) return at;
  return 0;
}

/** True when at least half of the parts that were captured look like datagrams; one of them may be a wrong one. */
function areDatagrams(view: DataView, parts: readonly DatagramPart[], captured: number, mode: Mode): boolean {
  const seen = parts.filter(({ offset }) => offset + PART_MIN[mode] <= captured);
  // Nothing of the rest was captured: padding is shorter than the shortest datagram.
  if (seen.length === 0) return (parts[0]?.length ?? 0) >= PART_MIN[mode];
  const good = seen.filter(part => isDatagram(view, part, mode));
  return good.length * 2 >= seen.length;
}

function isDatagram(view: DataView, { offset, length }: DatagramPart, mode: Mode): boolean {
  if (mode === 'udp') return ipv4.check(view, offset, length) !== 0 || ipv6.check(view, offset, length) !== 0;
  if (length < PART_MIN.vxlan) return false;
  const l3 =
    offset + vxlan.HEADER_BYTES + linkBytes(view, offset + vxlan.HEADER_BYTES, length - vxlan.HEADER_BYTES);
  const type = view.getUint16(l3 - 2);
  const signs = [
    (view.getUint8(offset) & 0x08) !== 0,
    view.getUint32(offset + 4) >>> 8 === view.getUint32(4) >>> 8,
    type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6 || type === ethernet.TYPE_ARP,
  ];
  return signs.filter(Boolean).length >= 2;
}
