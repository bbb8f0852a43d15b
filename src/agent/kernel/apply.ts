import { constants } from 'node:os';
import { ignoreErrors, NetError } from '../../net/error.ts';
import { addAddress, deleteAddress } from '../../net/rtnetlink/addresses.ts';
import {
  deleteFdb,
  deleteFdbRequest,
  FDB_ABSENT,
  replaceFdb,
  replaceFdbRequest,
} from '../../net/rtnetlink/fdb.ts';
import { changeLink, createLink, deleteLink, findLink, getLink } from '../../net/rtnetlink/links.ts';
import type { MessageWriter } from '../../net/rtnetlink/message.ts';
import {
  deleteNeighbour,
  deleteNeighbourRequest,
  NEIGHBOUR_ABSENT,
  replaceNeighbour,
  replaceNeighbourRequest,
} from '../../net/rtnetlink/neighbours.ts';
import {
  addRouteRequest,
  deleteRoute,
  deleteRouteRequest,
  ROUTE_ABSENT,
  type RouteSpec,
  replaceRoute,
  replaceRouteRequest,
  SCOPE_UNIVERSE,
} from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { changeSysctl, trySysctl } from '../../net/sysctl.ts';
import type { KernelChange } from './change.ts';
import { type DesiredDevice, PROTOCOL_RIPSTOP, type RouteEntry } from './state.ts';

/**
 * Makes one change. Changes that remove succeed when nothing is there.
 * @returns false for a setting that traffic does not depend on and that may not be written
 * @throws NetError naming the change
 */
export function applyChange(socket: NetlinkSocket, change: KernelChange): boolean {
  if (change.do === 'set-sysctl' && change.without !== undefined)
    return trySysctl(socket.netns, change.name, change.value, change.without);
  makeChange(socket, change);
  return true;
}

function makeChange(socket: NetlinkSocket, change: KernelChange): void {
  const index = (name: string) => getLink(socket, name).index;
  switch (change.do) {
    case 'create-device':
      createVxlan(socket, change.device);
      return;
    case 'delete-device':
      deleteLink(socket, change.name);
      return;
    case 'set-device':
      changeLink(socket, index(change.name), change.settings);
      return;
    case 'add-address':
      ignoreErrors(['EEXIST'], () =>
        addAddress(socket, { link: index(change.device), prefix: change.prefix, noDuplicateDetection: true }),
      );
      return;
    case 'delete-address': {
      const link = findLink(socket, change.device);
      if (link) deleteAddress(socket, { link: link.index, prefix: change.prefix });
      return;
    }
    case 'set-neighbour':
      replaceNeighbour(socket, { link: index(change.device), address: change.address, mac: change.mac });
      return;
    case 'delete-neighbour': {
      const link = findLink(socket, change.device);
      if (link) deleteNeighbour(socket, { link: link.index, address: change.address });
      return;
    }
    case 'set-forwarding':
      replaceFdb(socket, { link: index(change.device), mac: change.mac, remote: change.remote });
      return;
    case 'delete-forwarding': {
      const link = findLink(socket, change.device);
      if (link) deleteFdb(socket, { link: link.index, mac: change.mac, remote: change.remote });
      return;
    }
    case 'set-route':
      replaceRoute(socket, ownRoute(index, change.route));
      return;
    case 'delete-route':
      deleteRoute(socket, change.route.original ?? ownRoute(index, change.route));
      return;
    case 'set-sysctl':
      changeSysctl(socket.netns, change.name, change.value);
      return;
  }
}

/** A change on an entry of a peer: such changes do not depend on one another. */
export type EntryChange = Extract<
  KernelChange,
  {
    do:
      | 'set-neighbour'
      | 'delete-neighbour'
      | 'set-forwarding'
      | 'delete-forwarding'
      | 'set-route'
      | 'delete-route';
  }
>;

const ENTRY_CHANGES: ReadonlySet<KernelChange['do']> = new Set<EntryChange['do']>([
  'set-neighbour',
  'delete-neighbour',
  'set-forwarding',
  'delete-forwarding',
  'set-route',
  'delete-route',
]);

export function isEntryChange(change: KernelChange): change is EntryChange {
  return ENTRY_CHANGES.has(change.do);
}

/**
 * Makes many changes, a message to the kernel for dozens of them. One that fails keeps no other from being made.
 * @param isNew routes are set where there is none for their destination, or refused with EEXIST: nothing is displaced
 * @returns the refusals; changes that remove succeed when nothing is there
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
  const writers: MessageWriter[] = [];
  const asked: { change: EntryChange; absent: readonly string[] }[] = [];
  for (const change of changes) {
    const request = requestOf(change, index, isNew(change));
    writers.push(request.writer);
    asked.push({ change, absent: request.absent });
  }
  const refusals = new Map<EntryChange, NetError>();
  for (const [at, error] of socket.requestAll(writers)) {
    const request = asked[at];
    if (request && !request.absent.includes(error.code)) refusals.set(request.change, error);
  }
  return refusals;
}

function requestOf(
  change: EntryChange,
  index: (name: string) => number,
  isNew: boolean,
): { writer: MessageWriter; absent: readonly string[] } {
  switch (change.do) {
    case 'set-neighbour': {
      const { device, address, mac } = change;
      return { writer: replaceNeighbourRequest({ link: index(device), address, mac }), absent: [] };
    }
    case 'delete-neighbour': {
      const { device, address } = change;
      return { writer: deleteNeighbourRequest({ link: index(device), address }), absent: NEIGHBOUR_ABSENT };
    }
    case 'set-forwarding': {
      const { device, mac, remote } = change;
      return { writer: replaceFdbRequest({ link: index(device), mac, remote }), absent: [] };
    }
    case 'delete-forwarding': {
      const { device, mac, remote } = change;
      return { writer: deleteFdbRequest({ link: index(device), mac, remote }), absent: FDB_ABSENT };
    }
    case 'set-route': {
      const spec = ownRoute(index, change.route);
      return { writer: isNew ? addRouteRequest(spec) : replaceRouteRequest(spec), absent: [] };
    }
    case 'delete-route': {
      const spec = change.route.original ?? ownRoute(index, change.route);
      return { writer: deleteRouteRequest(spec), absent: ROUTE_ABSENT };
    }
  }
}

function createVxlan(socket: NetlinkSocket, device: DesiredDevice): void {
  const { vxlan, name, mac, mtu } = device;
  if (!vxlan) throw new NetError(constants.errno.EINVAL, `create device ${name}`, 'is no kernel VXLAN');
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
    },
  });
}

/** A route of ours as the kernel is asked for it. */
function ownRoute(
  index: (name: string) => number,
  { destination, gateway, device, onlink }: RouteEntry,
): RouteSpec {
  const link = device === undefined ? undefined : index(device);
  return { destination, scope: SCOPE_UNIVERSE, gateway, link, onlink, protocol: PROTOCOL_RIPSTOP };
}
