import {
  NEXT_ICMPV6,
  UPPER_LATER_FRAGMENT,
  upperLayer,
  upperOffset,
  upperProtocol,
} from '../../../encap/wire/ipv6.ts';
import { OPTION_SOURCE_MAC, OPTION_TARGET_MAC } from '../../../encap/wire/nd.ts';

/*
 * MAC addresses that ARP and neighbour discovery announce. The kernel puts them into its neighbour table, so they must be
 * those of the VTEP that sent them: else one peer could fill the table, which all interfaces of a machine share.
 */

/** ICMPv6 types of neighbour discovery (RFC 4861 section 4), in order from the router solicitation on. */
const ROUTER_SOLICITATION = 133;
const ROUTER_ADVERTISEMENT = 134;
const REDIRECT = 137;
/** Offset of the options in a message, by type. */
const OPTIONS_OF_SOLICITATION = 8;
const OPTIONS_OF_ADVERTISEMENT = 16;
const OPTIONS_OF_NEIGHBOUR = 24;
const OPTIONS_OF_REDIRECT = 40;
/** Offset of the sender's MAC in ARP over Ethernet (RFC 826). */
const ARP_SENDER = 8;

/**
 * 1 when the 6 bytes at `at` are the MAC of these words.
 * @hot
 */
function isMac(view: DataView, at: number, high: number, low: number): number {
  return view.getUint16(at) === high && view.getInt32(at + 2) === low ? 1 : 0;
}

/**
 * 1 when the sender of a checked ARP packet has this MAC.
 * @param high first two bytes @param low last four as a signed int32
 * @hot
 */
export function arpAnnounces(view: DataView, arp: number, high: number, low: number): number {
  return isMac(view, arp + ARP_SENDER, high, low);
}

/**
 * 1 when a checked IPv6 packet announces this MAC, or none: it is not neighbour discovery, or has no option with a
 * link-layer address. Malformed options end the walk, as the kernel ignores such messages.
 * @hot
 */
export function packetAnnounces(view: DataView, ip: number, high: number, low: number): number {
  const upper = upperLayer(view, ip);
  if (upper < 0 || upperProtocol(upper) !== NEXT_ICMPV6 || (upper & UPPER_LATER_FRAGMENT) !== 0) return 1;
  const message = ip + upperOffset(upper);
  const end = ip + 40 + view.getUint16(ip + 4);
  if (message >= end) return 1;
  const type = view.getUint8(message);
  if (type < ROUTER_SOLICITATION || type > REDIRECT) return 1;
  let at = message + OPTIONS_OF_NEIGHBOUR;
  if (type === ROUTER_SOLICITATION) at = message + OPTIONS_OF_SOLICITATION;
  else if (type === ROUTER_ADVERTISEMENT) at = message + OPTIONS_OF_ADVERTISEMENT;
  else if (type === REDIRECT) at = message + OPTIONS_OF_REDIRECT;
  while (at + 8 <= end) {
    const option = view.getUint8(at);
    const bytes = view.getUint8(at + 1) << 3;
    if (bytes === 0) return 1;
    if (
      (option === OPTION_SOURCE_MAC || option === OPTION_TARGET_MAC) &&
      isMac(view, at + 2, high, low) === 0
    )
      return 0;
    at += bytes;
  }
  return 1;
}
