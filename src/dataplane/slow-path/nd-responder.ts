import { finish, pseudo6, sum, verify } from '../../../encap/wire/checksum.ts';
import * as ethernet from '../../../encap/wire/ethernet.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as nd from '../../../encap/wire/nd.ts';
import { isUnicastMac, type NeighbourLookup } from './arp-responder.ts';

/** Neighbour discovery never crosses a router: RFC 4861 section 7.1. */
const HOP_LIMIT = 255;

/**
 * The advertisement for the neighbour solicitation in the untagged Ethernet frame at `off`, in the name of the peer
 * that has the target. It is solicited and overrides, like the kernel VXLAN device's own: the table behind `lookup` is
 * authoritative for overlay neighbours, so a cached MAC that differs is stale. The router flag is set: every peer
 * forwards to its pods.
 *
 * Checked as RFC 4861 section 7.1.1 asks: hop limit 255, checksum, code, options, target not multicast. Solicitations
 * from `::` (duplicate address detection, RFC 4862 section 5.4) are not answered: an answer would prevent
 * the node that configures the address on this link from using it.
 * @returns a frame of 86 bytes to write to the device, or undefined
 */
export function neighbourAdvertisement(
  view: DataView,
  off: number,
  length: number,
  lookup: NeighbourLookup,
): Uint8Array | undefined {
  const ip = off + ethernet.BYTES;
  if (ethernet.check(view, off, length) === 0 || ethernet.type(view, off) !== ethernet.TYPE_IPV6)
    return undefined;
  if (ipv6.check(view, ip, length - ethernet.BYTES) === 0) return undefined;
  if (ipv6.nextHeader(view, ip) !== ipv6.NEXT_ICMPV6 || ipv6.hopLimit(view, ip) !== HOP_LIMIT)
    return undefined;
  const at = ip + ipv6.BYTES;
  const bytes = ipv6.payloadLength(view, ip);
  if (nd.check(view, at, bytes) === 0 || nd.type(view, at) !== nd.SOLICITATION) return undefined;
  if (!verify(view, at, bytes, pseudo6(view, ip, ipv6.NEXT_ICMPV6, bytes))) return undefined;
  const target = nd.targetOffset(at);
  if (view.getUint8(target) === 0xff || view.getUint8(ip + 8) === 0xff || isUnspecified(view, ip + 8))
    return undefined;
  // The option holds the sender's MAC; without it (a unicast check) the frame's source MAC is used.
  const option = nd.macOffset(view, at, bytes, nd.OPTION_SOURCE_MAC);
  const asker = option < 0 ? off + 6 : option;
  if (!isUnicastMac(view, asker)) return undefined;
  const mac = lookup(copy(view, target, 16));
  if (!mac) return undefined;
  return advertisement(copy(view, asker, 6), copy(view, ip + 8, 16), mac, copy(view, target, 16));
}

/** Ethernet, IPv6, advertisement with the target's MAC: 14 + 40 + 32 bytes. */
function advertisement(toMac: Uint8Array, to: Uint8Array, mac: Uint8Array, target: Uint8Array): Uint8Array {
  const ip = ethernet.BYTES;
  const at = ip + ipv6.BYTES;
  const frame = new Uint8Array(at + nd.BYTES_WITH_MAC);
  const view = new DataView(frame.buffer);
  frame.set(toMac, 0);
  frame.set(mac, 6);
  ethernet.setType(view, 0, ethernet.TYPE_IPV6);
  view.setUint32(ip, 0x60000000);
  ipv6.setPayloadLength(view, ip, nd.BYTES_WITH_MAC);
  view.setUint8(ip + 6, ipv6.NEXT_ICMPV6);
  ipv6.setHopLimit(view, ip, HOP_LIMIT);
  frame.set(target, ip + 8);
  frame.set(to, ip + 24);
  view.setUint16(at, nd.ADVERTISEMENT << 8);
  view.setUint32(at + 4, nd.ROUTER | nd.SOLICITED | nd.OVERRIDE);
  frame.set(target, nd.targetOffset(at));
  view.setUint16(at + nd.MIN_BYTES, (nd.OPTION_TARGET_MAC << 8) | 1);
  frame.set(mac, at + nd.MIN_BYTES + 2);
  const seed = pseudo6(view, ip, ipv6.NEXT_ICMPV6, nd.BYTES_WITH_MAC);
  view.setUint16(at + 2, finish(sum(view, at, nd.BYTES_WITH_MAC, seed)));
  return frame;
}

function copy(view: DataView, off: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + off, length).slice();
}

function isUnspecified(view: DataView, off: number): boolean {
  return (
    (view.getUint32(off) | view.getUint32(off + 4) | view.getUint32(off + 8) | view.getUint32(off + 12)) === 0
  );
}
