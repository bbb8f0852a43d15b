import { readFilterTables } from '../../../net/filter/filter-tables.ts';
import { listAddresses } from '../../../net/rtnetlink/addresses.ts';
import { listFdb } from '../../../net/rtnetlink/fdb.ts';
import { findLink } from '../../../net/rtnetlink/links.ts';
import { listNeighbours } from '../../../net/rtnetlink/neighbours.ts';
import { routeTo } from '../../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { readSysctl } from '../../../net/sysctl.ts';
import type { KernelState } from './kernel-lookup.ts';

/** The kernel of this node as it is now, in the namespace of the socket. */
export function liveState(socket: NetlinkSocket): KernelState {
  const { netns } = socket;
  return {
    route: (address, arrival) => routeTo(socket, address, arrival),
    link: nameOrIndex => findLink(socket, nameOrIndex),
    neighbours: link => listNeighbours(socket, { link }),
    fdb: link => listFdb(socket, link),
    addresses: (link, family) => listAddresses(socket, { link, family }),
    sysctl: name => readSysctl(netns, name),
    filterTables: () => readFilterTables(netns),
  };
}
