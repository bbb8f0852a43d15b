import { contains, requirePrefix } from '../../ip/prefix.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import { listRoutes, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { OverlayPlan } from '../inputs/plan.ts';

/**
 * The smallest MTU among the devices that lead to the pods of this node; the MTU of the overlay while there is none. In dual
 * stack the bridge has the MTU of the IPv6 overlay, and a pod may keep the one of a former configuration.
 */
export function mtuTowardsPods(socket: NetlinkSocket, { subnets, device, mtu }: OverlayPlan): number {
  const smaller = listLinks(socket).filter(link => link.mtu < mtu && link.name !== device);
  // On most nodes there is none, and the routes of all peers need not be read.
  if (smaller.length === 0) return mtu;
  const own = subnets.map(requirePrefix);
  const routes = listRoutes(socket, { table: TABLE_MAIN }).filter(({ destination }) =>
    own.some(subnet => contains(subnet, requirePrefix(destination))),
  );
  const towardsPods = smaller.filter(({ index }) => routes.some(({ link }) => link === index));
  return Math.min(mtu, ...towardsPods.map(link => link.mtu));
}
