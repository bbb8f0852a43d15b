import { RipstopError } from '../../base/errors.ts';
import { bitsOf } from '../../ip/address.ts';
import { formatPrefix, isNetwork, networkOf, overlaps, type Prefix, parsePrefix } from '../../ip/prefix.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { listRoutes, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { PROTOCOL_KERNEL } from '../kernel/state.ts';
import type { Subnets } from '../lease/lease.ts';

const SCOPE_LINK = 253;

/** Subnets and addresses of the underlay interface, which must not be used for pods. */
export function underlaySubnets(socket: NetlinkSocket, link: number): Prefix[] {
  const found = new Map<string, Prefix>();
  const add = (text: string, isWhole = false): void => {
    const cidr = parsePrefix(text);
    if (!cidr) return;
    const subnet = isWhole ? { ...cidr, length: bitsOf(cidr.family) } : networkOf(cidr);
    // Not a default route.
    if (subnet.length > 0 && isNetwork(subnet))
      found.set(`${subnet.family} ${subnet.value}/${subnet.length}`, subnet);
  };
  for (const address of listAddresses(socket))
    if (address.link === link && address.scope !== SCOPE_LINK) {
      add(address.address, true);
      add(`${address.address}/${address.prefixLength}`);
    }
  for (const route of listRoutes(socket, { table: TABLE_MAIN }))
    if (route.link === link && route.protocol === PROTOCOL_KERNEL && route.gateway === undefined)
      add(route.destination);
  return [...found.values()];
}

/**
 * Refuses a subnet of this node that overlaps the network between the nodes: a pod and a node could have one address.
 * @throws RipstopError ECONFIG
 */
export function refuseOnUnderlay({ v4, v6 }: Subnets, underlay: readonly Prefix[], name: string): void {
  for (const subnet of [v4, v6]) {
    const wire = underlay.find(cidr => subnet && overlaps(cidr, subnet));
    if (subnet && wire)
      throw new RipstopError(
        'ECONFIG',
        `the pod subnet ${formatPrefix(subnet)} of this node overlaps ${formatPrefix(wire)}, the network of ${name}`,
        'choose a pod network outside the networks between the nodes, or give this node another subnet of it',
      );
  }
}
