import {
  NEXT_ICMPV6,
  UPPER_LATER_FRAGMENT,
  upperLayer,
  upperOffset,
  upperProtocol,
} from '../../../encap/wire/ipv6.ts';
import { OPTION_SOURCE_MAC, OPTION_TARGET_MAC } from '../../../encap/wire/nd.ts';
import { isMacOfPeer } from './peer-mac.ts';

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

/**
 * 1 when a checked IPv6 packet announces the MAC of the peer's VTEP, or none: it is not neighbour discovery, or has no
 * option with a link-layer address. Malformed options end the walk, as the kernel ignores such messages.
 * @hot
 */
export function announcesMacOfPeer(view: DataView, ip: number, peer: number, peers: Int32Array): number {
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
      isMacOfPeer(view, at + 2, peer, peers) === 0
    )
      return 0;
    at += bytes;
  }
  return 1;
}
