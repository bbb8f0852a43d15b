import type { Mode } from '../../../encap/encap.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as arp from '../../../encap/wire/arp.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as tcp from '../../../encap/wire/tcp.ts';
import { linkBytes } from '../../../encap/wire/vlan.ts';

/** ICMPv6 types of neighbour discovery (RFC 4861): the forwarder reads their bodies. */
const ND_FIRST = 133;
const ND_LAST = 137;

/**
 * True when the captured bytes of an inner frame hold all that the forwarder reads for its verdict, so that the zeros
 * behind them do not decide.
 * @param captured bytes of `frame` that are in the file; the others are zeros
 * @param mtu largest inner IP packet
 */
export function isDecided(frame: Uint8Array, captured: number, mode: Mode, mtu: number): boolean {
  if (captured >= frame.length) return true;
  const view = viewOf(frame);
  if (mode === 'udp') return isPacketDecided(view, 0, captured, mtu);
  const l3 = captured < ethernet.BYTES ? 0 : linkBytes(view, 0, captured);
  if (l3 === 0) return false;
  const type = view.getUint16(l3 - 2);
  if (type === ethernet.TYPE_ARP) return captured >= l3 + arp.BYTES;
  if (type !== ethernet.TYPE_IPV4 && type !== ethernet.TYPE_IPV6) return true;
  return isPacketDecided(view, l3, captured - l3, mtu);
}

/** @param there captured bytes from `ip` on */
function isPacketDecided(view: DataView, ip: number, there: number, mtu: number): boolean {
  if (there < ipv4.MIN_BYTES) return false;
  if (view.getUint8(ip) >> 4 !== 6) {
    const header = ipv4.headerBytes(view, ip);
    if (there < header) return false;
    if ((view.getUint16(ip + 6) & 0x1fff) !== 0) return true;
    return isUpperDecided(view, ip + header, there - header, ipv4.protocol(view, ip), {
      isLong: ipv4.totalLength(view, ip) > mtu,
    });
  }
  if (there < ipv6.BYTES) return false;
  const upper = ipv6.upperLayer(view, ip);
  const offset = upper < 0 ? there + 1 : ipv6.upperOffset(upper);
  if (offset > there) return false;
  if ((upper & ipv6.UPPER_LATER_FRAGMENT) !== 0) return true;
  return isUpperDecided(view, ip + offset, there - offset, ipv6.upperProtocol(upper), {
    isLong: ipv6.BYTES + ipv6.payloadLength(view, ip) > mtu,
  });
}

/** @param isLong longer than the MTU: the TCP header tells how the packet is segmented */
function isUpperDecided(
  view: DataView,
  l4: number,
  there: number,
  protocol: number,
  { isLong }: { readonly isLong: boolean },
): boolean {
  if (protocol === ipv4.PROTOCOL_TCP) return !isLong || there >= tcp.MIN_BYTES;
  // An ICMP error is not answered with another one.
  if (protocol === ipv4.PROTOCOL_ICMP) return there >= 1;
  if (protocol !== ipv6.NEXT_ICMPV6) return true;
  if (there < 1) return false;
  const type = view.getUint8(l4);
  return type < ND_FIRST || type > ND_LAST;
}
