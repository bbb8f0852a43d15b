import { viewOf } from '../../../encap/wire/addresses.ts';
import { pseudo4, pseudo6 } from '../../../encap/wire/checksum.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import * as udp from '../../../encap/wire/udp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import type { GsoFields } from '../live/record.ts';
import type { ReplayConfig } from './config.ts';

/** Offsets of the checksums. */
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
/** Bytes of the TCP header up to its checksum. */
const TCP_SUMMED = 18;

/**
 * The offload fields that the device would give a captured frame. Captures do not have them: a TCP packet larger than the
 * MTU was a GSO packet, and a checksum that is the sum of the pseudo-header alone was partial. Undefined for others.
 * @param gsoSize payload bytes of a segment, where the capture says so
 */
export function offloadOf(
  frame: Uint8Array,
  { mode, mtu }: Pick<ReplayConfig, 'mode' | 'mtu'>,
  gsoSize: number | undefined,
): GsoFields | undefined {
  const view = viewOf(frame);
  const l3 = mode === 'vxlan' ? linkBytes(view, 0, frame.length) : 0;
  if (mode === 'vxlan' && (l3 === 0 || !isIp(view.getUint16(l3 - 2)))) return undefined;
  const isIpv4 = ipv4.check(view, l3, frame.length - l3) !== 0;
  if (!isIpv4 && ipv6.check(view, l3, frame.length - l3) === 0) return undefined;
  if (isIpv4 && ipv4.isFragment(view, l3)) return undefined;
  const bytes = isIpv4 ? ipv4.totalLength(view, l3) : ipv6.BYTES + ipv6.payloadLength(view, l3);
  const protocol = isIpv4 ? ipv4.protocol(view, l3) : ipv6.nextHeader(view, l3);
  const l4 = isIpv4 ? ipv4.headerBytes(view, l3) : ipv6.BYTES;
  const isTcp = protocol === ipv4.PROTOCOL_TCP;
  if (!isTcp && protocol !== ipv4.PROTOCOL_UDP) return undefined;
  const csumStart = l3 + l4;
  const csumOffset = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  const header = isTcp ? tcp.check(view, csumStart, bytes - l4) : udp.check(view, csumStart, bytes - l4);
  const fields = { flags: NEEDS_CHECKSUM, csumStart, csumOffset };
  const segment = gsoSize ?? (isTcp ? mtu - l4 - header : 0);
  if (header !== 0 && segment > 0 && bytes > (gsoSize === undefined ? mtu : l4 + header + segment)) {
    const gsoType = isTcp ? (isIpv4 ? GSO_TCPV4 : GSO_TCPV6) : GSO_UDP_L4;
    return { ...fields, gsoType, gsoSize: segment };
  }
  if (bytes - l4 < (isTcp ? TCP_SUMMED : udp.BYTES)) return undefined;
  const pseudo = (isIpv4 ? pseudo4 : pseudo6)(view, l3, protocol, bytes - l4);
  const isPartial = view.getUint16(csumStart + csumOffset) === pseudo;
  return isPartial ? { ...fields, gsoType: 0, gsoSize: 0 } : undefined;
}

function isIp(type: number): boolean {
  return type === ethernet.TYPE_IPV4 || type === ethernet.TYPE_IPV6;
}
