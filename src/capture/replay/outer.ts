import { mapIpv4, viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as udp from '../../../encap/wire/udp.ts';
import { FRAGMENT, MALFORMED, type NotJudged, SNAP_LENGTH } from './reasons.ts';

/** An IP packet of a capture, with its UDP datagram if it has one. */
export interface IpPacket {
  /** 16 bytes each, IPv4 mapped. */
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  readonly datagram?: Datagram | undefined;
  /** Why its datagram cannot be read: it is a fragment, malformed, or cut by the snap length. */
  readonly unread?: NotJudged | undefined;
}

interface Datagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Where its payload begins and ends. */
  readonly start: number;
  readonly end: number;
}

/**
 * Reads an IP packet as far as the underlay has to: addresses, options and extension headers, UDP.
 * @param captured bytes of `bytes` that are in the file; the others are zeros
 * @returns undefined for bytes that are no IP packet
 */
export function readIp(bytes: Uint8Array, captured: number, l3: number): IpPacket | NotJudged | undefined {
  const view = viewOf(bytes);
  const isCut = captured < bytes.length;
  const room = bytes.length - l3;
  const version = captured > l3 ? view.getUint8(l3) >> 4 : 0;
  if (isCut && captured < l3 + (version === 6 ? ipv6.BYTES : ipv4.MIN_BYTES)) return { skipped: SNAP_LENGTH };
  if (ipv4.check(view, l3, room) !== 0) {
    const ends = { source: mapIpv4(view, l3 + 12), target: mapIpv4(view, l3 + 16) };
    if (ipv4.protocol(view, l3) !== ipv4.PROTOCOL_UDP) return ends;
    if (ipv4.isFragment(view, l3)) return { ...ends, unread: { skipped: FRAGMENT } };
    const end = l3 + ipv4.totalLength(view, l3);
    return { ...ends, ...readUdp(view, l3 + ipv4.headerBytes(view, l3), end, captured) };
  }
  if (ipv6.check(view, l3, room) === 0) return undefined;
  const ends = { source: bytes.slice(l3 + 8, l3 + 24), target: bytes.slice(l3 + 24, l3 + 40) };
  const upper = ipv6.upperLayer(view, l3);
  const l4 = upper < 0 ? 0 : l3 + ipv6.upperOffset(upper);
  // A chain of headers that ends behind the captured bytes was read from zeros.
  if (isCut && (upper < 0 || l4 > captured)) return { ...ends, unread: { skipped: SNAP_LENGTH } };
  if (upper < 0 || ipv6.upperProtocol(upper) !== ipv4.PROTOCOL_UDP) return ends;
  if ((upper & ipv6.UPPER_FRAGMENT) !== 0) return { ...ends, unread: { skipped: FRAGMENT } };
  return { ...ends, ...readUdp(view, l4, l3 + ipv6.BYTES + ipv6.payloadLength(view, l3), captured) };
}

function readUdp(
  view: DataView,
  l4: number,
  end: number,
  captured: number,
): Pick<IpPacket, 'datagram' | 'unread'> {
  if (captured < Math.min(l4 + udp.BYTES, view.byteLength)) return { unread: { skipped: SNAP_LENGTH } };
  if (udp.check(view, l4, end - l4) === 0) return { unread: { skipped: MALFORMED } };
  return {
    datagram: {
      sourcePort: udp.sourcePort(view, l4),
      destinationPort: udp.destinationPort(view, l4),
      start: l4 + udp.BYTES,
      end: l4 + udp.totalLength(view, l4),
    },
  };
}
