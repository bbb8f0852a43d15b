import { viewOf } from '../../../encap/wire/addresses.ts';
import * as checksum from '../../../encap/wire/checksum.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import { RipstopError } from '../../base/errors.ts';
import { addressBytes } from '../../ip/address.ts';
import { macBytes } from '../../ip/mac.ts';
import type { TraceRequest } from './answer.ts';

const PROTOCOLS = { tcp: ipv4.PROTOCOL_TCP, udp: ipv4.PROTOCOL_UDP, icmp: 1 } as const;
/** Headers without options, bytes. */
const UPPER_BYTES = { tcp: tcp.MIN_BYTES, udp: 8, icmp: 8 } as const;
/** Offsets of the checksums in these headers. */
const CHECKSUMS = { tcp: 16, udp: 6, icmp: 2 } as const;
/** Hop limit of a host's own packets (net.ipv4.ip_default_ttl). */
const HOP_LIMIT = 64;
const ECHO_REQUEST = 8;
const ECHO_REQUEST6 = 128;

/** A packet that is only looked at: a SYN or a segment, a datagram or an echo request, DF set, with right checksums. */
export interface TracePacket {
  readonly source: string;
  readonly destination: string;
  readonly family: 4 | 6;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** 0 for ICMP. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** From the IP header on. */
  readonly bytes: Uint8Array;
  /** Where the header of TCP or UDP begins, its checksum, and the sum of its pseudo header; undefined for ICMP. */
  readonly partial: { readonly start: number; readonly field: number; readonly sum: number } | undefined;
  /** The same packet as a node sends it on: with the source that masquerading gives it, and one hop less if it came from elsewhere. */
  sentOn(source: string, isForwarded: boolean): TracePacket;
}

/** @throws RipstopError ECONFIG for a size that cannot be */
export function buildPacket(request: Omit<TraceRequest, 'arrival'>, hopLimit = HOP_LIMIT): TracePacket {
  const { source, destination, protocol, size } = request;
  const family = source.includes(':') ? 6 : 4;
  const header = family === 6 ? ipv6.BYTES : ipv4.MIN_BYTES;
  const least = header + UPPER_BYTES[protocol];
  if (size < least || size > 0xffff)
    throw new RipstopError('ECONFIG', `a packet of ${size} bytes`, `it has ${least}..65535 bytes`);
  const bytes = new Uint8Array(size);
  const view = viewOf(bytes);
  const ends = { source: addressBytes(source), destination: addressBytes(destination) };
  const number = protocol === 'icmp' && family === 6 ? ipv6.NEXT_ICMPV6 : PROTOCOLS[protocol];
  if (family === 6) {
    const payloadLength = size - header;
    const fixed = { trafficClass: 0, flowLabel: 0, hopLimit };
    ipv6.emit(view, 0, { ...fixed, payloadLength, nextHeader: number, ...ends });
  } else {
    const fixed = { tos: 0, identification: 1, dontFragment: true, moreFragments: false, fragmentOffset: 0 };
    const rest = { ttl: hopLimit, protocol: number, totalLength: size, options: new Uint8Array(0) };
    ipv4.emit(view, 0, { ...fixed, ...rest, ...ends });
  }
  emitUpper(view, header, request, family);
  const field = header + CHECKSUMS[protocol];
  const pseudo = family === 6 ? checksum.pseudo6 : checksum.pseudo4;
  const seed = protocol === 'icmp' && family === 4 ? 0 : pseudo(view, 0, number, size - header);
  const finish = protocol === 'udp' ? checksum.finishUdp : checksum.finish;
  view.setUint16(field, finish(checksum.sum(view, header, size - header, seed)));
  const { sourcePort, destinationPort } = request;
  return {
    ...{ source, destination, family, protocol, sourcePort, destinationPort, bytes },
    partial: protocol === 'icmp' ? undefined : { start: header, field, sum: seed },
    sentOn: (other, isForwarded) =>
      buildPacket({ ...request, source: other }, isForwarded ? hopLimit - 1 : hopLimit),
  };
}

function emitUpper(view: DataView, l4: number, request: Omit<TraceRequest, 'arrival'>, family: 4 | 6): void {
  if (request.protocol === 'icmp') {
    view.setUint8(l4, family === 6 ? ECHO_REQUEST6 : ECHO_REQUEST);
    return;
  }
  view.setUint16(l4, request.sourcePort);
  view.setUint16(l4 + 2, request.destinationPort);
  if (request.protocol === 'udp') view.setUint16(l4 + 4, view.byteLength - l4);
  else {
    view.setUint8(l4 + 12, (tcp.MIN_BYTES / 4) << 4);
    tcp.setFlags(view, l4, view.byteLength - l4 > tcp.MIN_BYTES ? tcp.ACK : tcp.SYN);
  }
}

/** The packet in an Ethernet frame. MACs as text. */
export function frameOf(packet: TracePacket, source: string, destination: string): Uint8Array {
  const frame = new Uint8Array(14 + packet.bytes.length);
  frame.set(macBytes(destination), 0);
  frame.set(macBytes(source), 6);
  viewOf(frame).setUint16(12, packet.family === 6 ? 0x86dd : 0x0800);
  frame.set(packet.bytes, 14);
  return frame;
}
