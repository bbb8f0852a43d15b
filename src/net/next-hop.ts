import { NetError } from './error.ts';
import { findLink } from './rtnetlink/links.ts';
import { findNeighbour } from './rtnetlink/neighbours.ts';
import { routeTo } from './rtnetlink/routes.ts';
import type { NetlinkSocket } from './rtnetlink/socket.ts';
import { readSysctl } from './sysctl.ts';

/** States of a neighbour whose MAC the kernel uses (NUD_VALID of net/neighbour.h, without NUD_NOARP). */
const NUD_USED = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

/** What the kernel writes in front of a datagram to an address. undefined: not known, or the device has none. */
export interface OuterFields {
  readonly address: string;
  /** TTL or hop limit of what a socket sends that does not set it. */
  readonly hopLimit: number | undefined;
  readonly sourceMac: string | undefined;
  readonly destinationMac: string | undefined;
}

/**
 * How the kernel sends to an address now: by route, kernel settings and neighbour table (ip_select_ttl, ip6_dst_hoplimit).
 * Undefined without a route.
 */
export function outerFieldsTo(socket: NetlinkSocket, address: string): OuterFields | undefined {
  try {
    const { link, gateway, hopLimit } = routeTo(socket, address);
    const device = link === undefined ? undefined : findLink(socket, link);
    if (link === undefined || !device) return undefined;
    const neighbour = findNeighbour(socket, link, gateway ?? address);
    const isUsed = neighbour !== undefined && (neighbour.state & NUD_USED) !== 0;
    return {
      address,
      hopLimit: hopLimit ?? defaultHopLimit(socket.netns, address, device.name),
      sourceMac: device.mac,
      destinationMac: isUsed ? neighbour.mac : undefined,
    };
  } catch (error) {
    if (error instanceof NetError) return undefined;
    throw error;
  }
}

function defaultHopLimit(netns: string, address: string, device: string): number | undefined {
  const name = address.includes(':') ? `net/ipv6/conf/${device}/hop_limit` : 'net/ipv4/ip_default_ttl';
  const value = Number(readSysctl(netns, name));
  return Number.isInteger(value) ? value : undefined;
}
