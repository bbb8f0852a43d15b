import { formatPrefix } from '../../ip/prefix.ts';
import { ignoreErrors } from '../../net/error.ts';
import { addRoute } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { Subnets } from '../lease/lease.ts';

/** Metric of the blackhole route: every other route to the pods takes precedence. */
export const BLACKHOLE_METRIC = 9999;
const PROTOCOL_STATIC = 4;

/** Adds routes that drop packets to pods that do not exist, which would leave by the default route. @throws NetError */
export function addBlackholes(socket: NetlinkSocket, { v4, v6 }: Subnets): void {
  for (const subnet of [v4, v6])
    if (subnet)
      ignoreErrors(['EEXIST'], () =>
        addRoute(socket, {
          destination: formatPrefix(subnet),
          type: 'blackhole',
          metric: BLACKHOLE_METRIC,
          protocol: PROTOCOL_STATIC,
        }),
      );
}
