import { constants } from 'node:os';
import { ignoreErrors, NetError } from '../../net/error.ts';
import { addAddress, deleteAddress } from '../../net/rtnetlink/addresses.ts';
import { deleteFdbRequest, replaceFdbRequest } from '../../net/rtnetlink/fdb.ts';
import { changeLink, createLink, deleteLink, findLink, getLink } from '../../net/rtnetlink/links.ts';
import type { MessageWriter } from '../../net/rtnetlink/message.ts';
import { deleteNeighbourRequest, replaceNeighbourRequest } from '../../net/rtnetlink/neighbours.ts';
import {
  addRouteRequest,
  deleteRouteRequest,
  type RouteSpec,
  replaceRouteRequest,
  SCOPE_UNIVERSE,
} from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { changeSysctl, trySysctl } from '../../net/sysctl.ts';
import type { BaseChange, EntryChange } from './change.ts';
import { type DesiredDevice, PROTOCOL_RIPSTOP, type RouteEntry } from './state.ts';

/**
 * Makes one change. Removing what does not exist succeeds.
 * @returns false for a sysctl that traffic does not depend on and that may not be written
 * @throws NetError naming the change
 */
export function applyChange(socket: NetlinkSocket, change: BaseChange): boolean {
  switch (change.do) {
    case 'create-device':
      createVxlan(socket, change.device);
      break;
    case 'delete-device':
      deleteLink(socket, change.name);
      break;
    case 'set-device':
      changeLink(socket, getLink(socket, change.name).index, change.settings);
      break;
    case 'add-address': {
      const link = getLink(socket, change.device).index;
      const { prefix } = change;
      ignoreErrors(['EEXIST'], () => addAddress(socket, { link, prefix, noDuplicateDetection: true }));
      break;
    }
    case 'delete-address': {
      const link = findLink(socket, change.device);
      if (link) deleteAddress(socket, { link: link.index, prefix: change.prefix });
      break;
    }
    case 'set-sysctl':
      if (change.without !== undefined)
        return trySysctl(socket.netns, change.name, change.value, change.without);
      changeSysctl(socket.netns, change.name, change.value);
  }
  return true;
}

/**
 * Makes many changes with few messages to the kernel. A change that fails does not stop the others.
 * @param isNew a route is set only where its destination has none (otherwise EEXIST), so that it displaces no other
 * @returns the refusals; removing what does not exist succeeds
 * @throws NetError when a device is gone, or the kernel does not answer
 */
export function applyEntries(
  socket: NetlinkSocket,
  changes: readonly EntryChange[],
  isNew: (change: EntryChange) => boolean = () => false,
): Map<EntryChange, NetError> {
  const links = new Map<string, number>();
  const index = (name: string): number => {
    const known = links.get(name) ?? getLink(socket, name).index;
    links.set(name, known);
    return known;
  };
  const requests = changes.map(change => requestOf(change, index, isNew(change)));
  const refusals = new Map<EntryChange, NetError>();
  for (const [at, error] of socket.requestAll(requests)) {
    const change = changes[at];
    if (change) refusals.set(change, error);
  }
  return refusals;
}

function requestOf(change: EntryChange, index: (name: string) => number, isNew: boolean): MessageWriter {
  switch (change.do) {
    case 'set-neighbour':
      return replaceNeighbourRequest({ ...change, link: index(change.device) });
    case 'delete-neighbour':
      return deleteNeighbourRequest({ ...change, link: index(change.device) });
    case 'set-forwarding':
      return replaceFdbRequest({ ...change, link: index(change.device) });
    case 'delete-forwarding':
      return deleteFdbRequest({ ...change, link: index(change.device) });
    case 'set-route': {
      const spec = ownRoute(index, change.route);
      return isNew ? addRouteRequest(spec) : replaceRouteRequest(spec);
    }
    case 'delete-route':
      return deleteRouteRequest(change.route.original ?? ownRoute(index, change.route));
  }
}

function createVxlan(socket: NetlinkSocket, device: DesiredDevice): void {
  const { vxlan, name, mac, mtu } = device;
  if (!vxlan) throw new NetError(constants.errno.EINVAL, `create device ${name}`, 'is not a kernel VXLAN');
  createLink(socket, {
    kind: 'vxlan',
    name,
    mtu,
    ...(mac === undefined ? {} : { mac }),
    parent: getLink(socket, vxlan.parent).index,
    vxlan: {
      vni: vxlan.vni,
      port: vxlan.port,
      local: vxlan.local,
      learning: vxlan.learning ?? false,
      gbp: vxlan.gbp ?? false,
      copyDscp: vxlan.copyDscp ?? false,
    },
  });
}

/** The kernel's form of a route of ours. */
function ownRoute(
  index: (name: string) => number,
  { destination, gateway, device, onlink }: RouteEntry,
): RouteSpec {
  const link = device === undefined ? undefined : index(device);
  return { destination, scope: SCOPE_UNIVERSE, gateway, link, onlink, protocol: PROTOCOL_RIPSTOP };
}
