import type { Mode } from '../../../encap/encap.ts';
import * as vxlan from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { FRAME_MAX } from '../../dataplane/descriptor/descriptor.ts';

/** What more is known of a frame than its bytes. */
export interface TextHints {
  /** Bytes that the frame had; headers that the snap length cut off read as zeros. */
  readonly length?: number;
  /** An overlay whose datagrams are opened. */
  readonly overlay?: { readonly mode: Mode; readonly port: number };
}

/**
 * One line about a frame, as tcpdump would say it: `10.244.1.5.40000 > 10.244.2.9.80: TCP Flags [S], …`. Never throws;
 * what cannot be read is named by what it is.
 * @param bytes the captured bytes
 * @param link whether the bytes begin with Ethernet or with IP
 */
export function describePacket(bytes: Uint8Array, link: 'ethernet' | 'ip', hints: TextHints = {}): string {
  const { length = bytes.length, overlay } = hints;
  if (bytes.length < length && length <= FRAME_MAX) {
    const whole = new Uint8Array(length);
    whole.set(bytes);
    return describePacket(whole, link, { ...(overlay ? { overlay } : {}) });
  }
  const view = viewOf(bytes);
  if (link === 'ip') return describeIp(view, 0, overlay);
  const l3 = linkBytes(view, 0, bytes.length);
  if (l3 === 0) return `${bytes.length} bytes, too short for Ethernet`;
  const type = view.getUint16(l3 - 2);
  if (type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6) return describeIp(view, l3, overlay);
  const question = type === ethernet.TYPE_ARP ? arp.parse(view, l3, bytes.length - l3) : undefined;
  return question ? `ARP ${arp.format(question)}` : ethernet.format(ethernet.parse(view, 0, bytes.length)!);
}

function describeIp(view: DataView, off: number, overlay: TextHints['overlay']): string {
  const length = view.byteLength - off;
  if (ipv4.check(view, off, length) !== 0) {
    const header = ipv4.parse(view, off, length)!;
    const l4 = off + ipv4.headerBytes(view, off);
    const end = off + header.totalLength;
    if (header.fragmentOffset > 0)
      return `${header.source} > ${header.destination}: fragment at ${header.fragmentOffset}`;
    return describeUpper(view, l4, end - l4, header.protocol, header.source, header.destination, overlay);
  }
  if (ipv6.check(view, off, length) !== 0) {
    const header = ipv6.parse(view, off, length)!;
    const upper = ipv6.upper(view, off);
    const { source, destination } = header;
    if (upper < 0) return `${source} > ${destination}: broken extension headers`;
    if (upper & ipv6.UPPER_LATER_FRAGMENT) return `${source} > ${destination}: fragment`;
    const l4 = off + ipv6.upperOffset(upper);
    const end = off + ipv6.BYTES + header.payloadLength;
    return describeUpper(view, l4, end - l4, ipv6.upperProtocol(upper), source, destination, overlay);
  }
  return `${length} bytes that are no IP packet`;
}

function describeUpper(
  view: DataView,
  l4: number,
  length: number,
  protocol: number,
  from: string,
  to: string,
  overlay: TextHints['overlay'],
): string {
  if (protocol === ipv4.PROTOCOL_TCP) {
    const header = tcp.parse(view, l4, length);
    if (!header) return `${from} > ${to}: TCP, cut short`;
    const text = tcp.format(header, length - tcp.headerBytes(view, l4));
    return `${from}.${header.sourcePort} > ${to}.${header.destinationPort}: TCP ${text}`;
  }
  if (protocol === ipv4.PROTOCOL_UDP) {
    const header = udp.parse(view, l4, length);
    if (!header) return `${from} > ${to}: UDP, cut short`;
    const ends = `${from}.${header.sourcePort} > ${to}.${header.destinationPort}`;
    if (header.destinationPort !== overlay?.port) return `${ends}: ${udp.format(header)}`;
    const payload = new Uint8Array(
      view.buffer,
      view.byteOffset + l4 + udp.BYTES,
      header.totalLength - udp.BYTES,
    );
    return `${ends}: ${describePayload(payload, overlay.mode)}`;
  }
  const names: Readonly<Record<number, string>> = { 1: 'ICMP', 58: 'ICMPv6', 132: 'SCTP' };
  return `${from} > ${to}: ${names[protocol] ?? `protocol ${protocol}`}, length ${Math.max(0, length)}`;
}

/** The payload of a datagram of the overlay. */
function describePayload(payload: Uint8Array, mode: Mode): string {
  if (mode === 'udp') return `| ${describePacket(payload, 'ip')}`;
  const header = vxlan.parse(viewOf(payload), 0, payload.length);
  if (!header) return `${payload.length} bytes, too short for VXLAN`;
  return `${vxlan.format(header)} | ${describePacket(payload.subarray(vxlan.HEADER_BYTES), 'ethernet')}`;
}
