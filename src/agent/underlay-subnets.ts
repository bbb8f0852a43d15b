import { listAddresses } from '../net/addresses.ts';
import { listRoutes, TABLE_MAIN } from '../net/routes.ts';
import type { NetlinkSocket } from '../net/socket.ts';
import { bitsOf, type Cidr, isNetwork, networkOf, parseCidr } from './lease/cidr.ts';

/** RTPROT_KERNEL: routes that the kernel makes of addresses (linux/rtnetlink.h). */
export const PROTOCOL_KERNEL = 2;
const SCOPE_LINK = 253;

/** The subnets that the underlay interface is connected to, and its own addresses: pods must have none of them. */
export function underlaySubnets(socket: NetlinkSocket, link: number): Cidr[] {
  const found = new Map<string, Cidr>();
  const add = (text: string, isWhole = false): void => {
    const cidr = parseCidr(text);
    if (!cidr) return;
    const subnet = isWhole ? { ...cidr, length: bitsOf(cidr.family) } : networkOf(cidr);
    // A default route is no subnet of this link.
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
