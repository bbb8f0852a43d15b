import { RipstopError } from '../../base/errors.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { isCarriedHere, type OverlayPlan } from './plan.ts';

/** linux/if.h: a TUN or TAP has a carrier while any process has one of its queues open. */
export const IFF_LOWER_UP = 0x10000;

/**
 * Refuses devices that another process has open, before a lease is acquired: a second agent by mistake, with the name of
 * the node, would otherwise publish another MAC in the lease of the first one and fail afterwards. A lease of udp has no MAC:
 * there the start goes on until it needs the device, so that it takes over from flanneld without delay.
 * @param own devices that this process has open
 * @throws RipstopError EINUSE
 */
export function refuseBusyDevices(
  socket: NetlinkSocket,
  plans: readonly OverlayPlan[],
  dataPlane: 'userspace' | 'kernel',
  own: readonly string[],
): void {
  for (const plan of plans) {
    if (plan.mode === 'udp' || !isCarriedHere(plan, dataPlane) || own.includes(plan.device)) continue;
    const link = findLink(socket, plan.device);
    if (link?.kind === 'tun' && (link.flags & IFF_LOWER_UP) !== 0)
      throw new RipstopError(
        'EINUSE',
        `device ${plan.device}: another process holds it`,
        'another agent, or flanneld, runs on this node: stop it, or give this agent a network and a name of its own (--instance)',
      );
  }
}
