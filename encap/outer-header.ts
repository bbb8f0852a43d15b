import type { Family } from './encap.ts';
import * as addresses from './wire/addresses.ts';
import { finishUdp, pseudo4, pseudo6, sum } from './wire/checksum.ts';
import * as ethernet from './wire/ethernet.ts';
import * as ipv4 from './wire/ipv4.ts';
import * as ipv6 from './wire/ipv6.ts';
import * as udp from './wire/udp.ts';

/*
 * The whole outer datagram as it appears on the underlay, for capture, replay and golden tests. The forwarder never
 * builds one: the kernel writes Ethernet, IP and UDP headers of what a UDP socket sends.
 */

export interface Outer {
  /** Underlay addresses, both of 4 or of 16 bytes; the family of the outer header follows. */
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  /** Bytes between UDP header and frame, of `Encapsulation.header`. */
  header: Uint8Array;
  /** An Ethernet header in front, left out: the datagram begins with IP. */
  link?: Pick<ethernet.Ethernet, 'source' | 'destination'>;
  /** Default 64. */
  ttl?: number;
  /** TOS or traffic class, default 0. */
  tos?: number;
  /** IPv4 identification, default 0, as Linux sends with DF. */
  identification?: number;
  /** IPv4 DF, default true. */
  dontFragment?: boolean;
  /** IPv6 flow label, default 0. */
  flowLabel?: number;
  /** false: a zero checksum, as a kernel VXLAN device sends by default over IPv4; default true. */
  checksum?: boolean;
}

/**
 * The outer headers around `frame`, all lengths and checksums right.
 * @throws RangeError when an address has a wrong length, or the result passes 65 535 bytes of IP
 */
export function buildOuter(outer: Outer, frame: Uint8Array): Uint8Array {
  const family: Family = outer.source.length === 16 ? 6 : 4;
  const link = outer.link ? ethernet.BYTES : 0;
  const ipBytes = family === 4 ? ipv4.MIN_BYTES : ipv6.BYTES;
  const udpBytes = udp.BYTES + outer.header.length + frame.length;
  if ((family === 4 ? ipBytes : 0) + udpBytes > 0xffff)
    throw new RangeError(`${frame.length} bytes of frame do not fit one UDP datagram over IPv${family}`);

  const bytes = new Uint8Array(link + ipBytes + udpBytes);
  const view = addresses.viewOf(bytes);
  const at = link + ipBytes;
  bytes.set(outer.header, at + udp.BYTES);
  bytes.set(frame, at + udp.BYTES + outer.header.length);
  if (outer.link) {
    const type = family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
    ethernet.emit(view, 0, { ...outer.link, type });
  }
  if (family === 4) emitIpv4(view, link, outer, ipBytes + udpBytes);
  else emitIpv6(view, link, outer, udpBytes);
  const { sourcePort, destinationPort } = outer;
  udp.emit(view, at, { sourcePort, destinationPort, totalLength: udpBytes, checksum: 0 });
  if (outer.checksum !== false) {
    const seed =
      family === 4
        ? pseudo4(view, link, ipv4.PROTOCOL_UDP, udpBytes)
        : pseudo6(view, link, ipv4.PROTOCOL_UDP, udpBytes);
    udp.setChecksum(view, at, finishUdp(sum(view, at, udpBytes, seed)));
  }
  return bytes;
}

function emitIpv4(view: DataView, off: number, outer: Outer, totalLength: number): void {
  ipv4.emit(view, off, {
    tos: outer.tos ?? 0,
    totalLength,
    identification: outer.identification ?? 0,
    dontFragment: outer.dontFragment ?? true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: outer.ttl ?? 64,
    protocol: ipv4.PROTOCOL_UDP,
    source: outer.source,
    destination: outer.destination,
    options: new Uint8Array(0),
  });
}

function emitIpv6(view: DataView, off: number, outer: Outer, payloadLength: number): void {
  ipv6.emit(view, off, {
    trafficClass: outer.tos ?? 0,
    flowLabel: outer.flowLabel ?? 0,
    payloadLength,
    nextHeader: ipv4.PROTOCOL_UDP,
    hopLimit: outer.ttl ?? 64,
    source: outer.source,
    destination: outer.destination,
  });
}
