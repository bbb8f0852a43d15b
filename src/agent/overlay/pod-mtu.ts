import { contains, requirePrefix } from '../../ip/prefix.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import { listRoutes, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { OverlayPlan } from '../inputs/plan.ts';

/**
 * The smallest MTU among the devices that lead to the pods of this node; the MTU of the overlay while there is none. In dual
 * stack the bridge has the MTU of the IPv6 overlay, and a pod may keep the one of a former configuration.
 */
export function podMtu(socket: NetlinkSocket, { subnets, device, mtu }: OverlayPlan): number {
  const own = subnets.map(requirePrefix);
  const indices = new Set(
    listRoutes(socket, { table: TABLE_MAIN })
      .filter(({ destination }) => own.some(subnet => contains(subnet, requirePrefix(destination))))
      .map(({ link }) => link),
  );
  const mtus = listLinks(socket)
    .filter(link => indices.has(link.index) && link.name !== device)
    .map(link => link.mtu);
  return Math.min(mtu, ...mtus);
}
