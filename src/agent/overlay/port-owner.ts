import { hasCode, RipstopError } from '../../base/errors.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';

/**
 * The error of a UDP port that is taken (EINUSE because of EADDRINUSE), with its owner where that is a VXLAN device of the
 * kernel, which `ss` does not show. Other errors are returned as they are.
 */
export function withPortOwner(error: unknown, socket: NetlinkSocket, port: number): unknown {
  if (!hasCode(error, 'EINUSE') || !hasCode(error.cause, 'EADDRINUSE')) return error;
  const owner = listLinks(socket).find(({ details }) => details.vxlan?.port === port);
  if (!owner) return error;
  const vni = owner.details.vxlan?.vni;
  return new RipstopError(
    'EINUSE',
    `${error.message}: the VXLAN device ${owner.name} of the kernel (VNI ${vni}) has it`,
    `remove the device (ip link del ${owner.name}) if nothing uses it, or set another Backend.Port`,
    { cause: error },
  );
}
