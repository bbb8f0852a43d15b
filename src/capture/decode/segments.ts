import { viewOf } from '../../../encap/wire/addresses.ts';
import { finish, finishUdp, pseudo4, pseudo6, sum } from '../../../encap/wire/checksum.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import type { GsoFields } from '../live/record.ts';

/** Bytes of a packet as far as they were captured, and its whole length. */
export interface Slice {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** The parsed headers of a GSO packet. */
interface GsoPacket {
  readonly view: DataView;
  readonly length: number;
  readonly offload: GsoFields;
  readonly isTcp: boolean;
  /** Offsets of the IP and of the TCP or UDP header, and bytes of all headers. */
  readonly l3: number;
  readonly l4: number;
  readonly header: number;
}

/**
 * Segments a GSO packet and fills in partial checksums, as the addon does when it sends (virtio 1.3 section 5.1.6; the
 * kernel's tcp_gso_segment and __udp_gso_segment). A frame that needs neither, or whose headers are invalid, is
 * returned unchanged. If the snap length cut the payload, the segments are cut too and keep the checksum field.
 * @param isRemote the receiver completes the checksums (remote checksum offload): they stay partial, as on the wire
 */
export function segmentGso(
  frame: Slice,
  offload: GsoFields,
  link: 'ethernet' | 'ip',
  isRemote = false,
): Slice[] {
  const packet = parseGso(frame, offload, link);
  if (!packet) return [isRemote ? frame : withChecksum(frame, offload)];
  const segments: Slice[] = [];
  const payload = frame.length - packet.header;
  for (let at = 0; at < payload; at += offload.gsoSize) segments.push(segment(frame, packet, at, isRemote));
  return segments;
}

/** Number of segments of a frame, 1 for one that is not a GSO packet. */
export function packetCount(frame: Slice, offload: GsoFields, link: 'ethernet' | 'ip'): number {
  const packet = parseGso(frame, offload, link);
  return packet ? Math.ceil((frame.length - packet.header) / offload.gsoSize) : 1;
}

function parseGso(frame: Slice, offload: GsoFields, link: 'ethernet' | 'ip'): GsoPacket | undefined {
  const kind = offload.gsoType & ~GSO_ECN;
  if ((kind !== GSO_TCPV4 && kind !== GSO_TCPV6 && kind !== GSO_UDP_L4) || offload.gsoSize === 0)
    return undefined;
  const view = viewOf(frame.bytes);
  const there = frame.bytes.length;
  const l3 = link === 'ethernet' ? linkBytes(view, 0, there) : 0;
  const l4 = offload.csumStart;
  if ((link === 'ethernet' && l3 === 0) || l4 < l3 + ipv4.MIN_BYTES || there < l4 + udp.BYTES)
    return undefined;
  const version = view.getUint8(l3) >> 4;
  if (version === 4 ? l4 !== l3 + ipv4.headerBytes(view, l3) : version !== 6 || l4 < l3 + ipv6.BYTES)
    return undefined;
  const isTcp = kind !== GSO_UDP_L4;
  if (isTcp && there < l4 + tcp.MIN_BYTES) return undefined;
  const header = l4 + (isTcp ? tcp.headerBytes(view, l4) : udp.BYTES);
  if (header > there || header >= frame.length || (isTcp && header < l4 + tcp.MIN_BYTES)) return undefined;
  return { view, length: frame.length, offload, isTcp, l3, l4, header };
}

/** The segment whose payload begins `at` bytes into that of the GSO packet. */
function segment(frame: Slice, packet: GsoPacket, at: number, isRemote: boolean): Slice {
  const { l3, l4, header, isTcp, offload } = packet;
  const payload = frame.length - header;
  const size = Math.min(offload.gsoSize, payload - at);
  const from = Math.min(header + at, frame.bytes.length);
  const there = frame.bytes.subarray(from, Math.min(header + at + size, frame.bytes.length));
  const bytes = new Uint8Array(header + there.length);
  bytes.set(frame.bytes.subarray(0, header));
  bytes.set(there, header);
  const view = viewOf(bytes);
  const index = at / offload.gsoSize;
  const isLast = at + size === payload;
  if (view.getUint8(l3) >> 4 === 4) {
    view.setUint16(l3 + 2, header - l3 + size);
    view.setUint16(l3 + 4, ipv4.identification(view, l3) + index);
    view.setUint16(l3 + 10, 0);
    view.setUint16(l3 + 10, finish(sum(view, l3, l4 - l3, 0)));
  } else view.setUint16(l3 + 4, header - l3 - ipv6.BYTES + size);
  if (isTcp) {
    tcp.setSequence(view, l4, tcp.sequence(view, l4) + at);
    let flags = tcp.flags(view, l4);
    if (!isLast) flags &= ~(tcp.FIN | tcp.PSH);
    if (index > 0) flags &= ~tcp.CWR;
    tcp.setFlags(view, l4, flags);
  } else udp.setTotalLength(view, l4, udp.BYTES + size);
  const length = header - l4 + size;
  if (isRemote) view.setUint16(l4 + checksumOffset(isTcp), pseudoSum(view, l3, isTcp, length));
  else if (there.length === size) seal(view, l3, l4, length, isTcp);
  return { bytes, length: header + size };
}

/** Writes the TCP or UDP checksum of `length` bytes at `l4`. */
function seal(view: DataView, l3: number, l4: number, length: number, isTcp: boolean): void {
  const field = l4 + checksumOffset(isTcp);
  view.setUint16(field, 0);
  const total = sum(view, l4, length, pseudoSum(view, l3, isTcp, length));
  view.setUint16(field, isTcp ? finish(total) : finishUdp(total));
}

function pseudoSum(view: DataView, l3: number, isTcp: boolean, length: number): number {
  const pseudo = view.getUint8(l3) >> 4 === 4 ? pseudo4 : pseudo6;
  return pseudo(view, l3, isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP, length);
}

function checksumOffset(isTcp: boolean): number {
  return isTcp ? 16 : 6;
}

/** Finishes the checksum of a single packet: its field holds the pseudo-header sum already. */
function withChecksum(frame: Slice, offload: GsoFields): Slice {
  const { csumStart, csumOffset, flags } = offload;
  const field = csumStart + csumOffset;
  const whole = frame.bytes.length === frame.length;
  if ((flags & NEEDS_CHECKSUM) === 0 || !whole || offload.gsoType !== 0 || field + 2 > frame.length)
    return frame;
  const bytes = frame.bytes.slice();
  const view = viewOf(bytes);
  const total = sum(view, csumStart, frame.length - csumStart, 0);
  view.setUint16(field, csumOffset === 6 ? finishUdp(total) : finish(total));
  return { bytes, length: frame.length };
}
