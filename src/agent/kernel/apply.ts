import { constants } from 'node:os';
import { NetError, unless } from '../../net/error.ts';
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
import { changeSetting, wishSetting } from '../../net/sysctl.ts';
import type { Step } from './change.ts';
import { type DesiredDevice, PROTOCOL_RIPSTOP, type RouteEntry } from './state.ts';

/**
 * Makes one step. Steps that remove succeed when nothing is there.
 * @returns false for a setting that traffic does not depend on and that may not be written
 * @throws NetError naming the step
 */
export function applyStep(socket: NetlinkSocket, step: Step): boolean {
  if (step.do === 'set-setting' && step.without !== undefined)
    return wishSetting(socket.netns, step.name, step.value, step.without);
  makeStep(socket, step);
  return true;
}

function makeStep(socket: NetlinkSocket, step: Step): void {
  const index = (name: string) => getLink(socket, name).index;
  switch (step.do) {
    case 'create-device':
      createVxlan(socket, step.device);
      return;
    case 'delete-device':
      deleteLink(socket, step.name);
      return;
    case 'set-device':
      changeLink(socket, index(step.name), step.settings);
      return;
    case 'add-address':
      unless(['EEXIST'], () =>
        addAddress(socket, { link: index(step.device), prefix: step.prefix, noDuplicateDetection: true }),
      );
      return;
    case 'delete-address': {
      const link = findLink(socket, step.device);
      if (link) deleteAddress(socket, { link: link.index, prefix: step.prefix });
      return;
    }
    case 'set-neighbour':
      replaceNeighbour(socket, { link: index(step.device), address: step.address, mac: step.mac });
      return;
    case 'delete-neighbour': {
      const link = findLink(socket, step.device);
      if (link) deleteNeighbour(socket, { link: link.index, address: step.address });
      return;
    }
    case 'set-forwarding':
      replaceFdb(socket, { link: index(step.device), mac: step.mac, remote: step.remote });
      return;
    case 'delete-forwarding': {
      const link = findLink(socket, step.device);
      if (link) deleteFdb(socket, { link: link.index, mac: step.mac, remote: step.remote });
      return;
    }
    case 'set-route':
      replaceRoute(socket, ownRoute(index, step.route));
      return;
    case 'delete-route':
      deleteRoute(socket, step.route.original ?? ownRoute(index, step.route));
      return;
    case 'set-setting':
      changeSetting(socket.netns, step.name, step.value);
      return;
  }
}

/** A step on an entry of a peer: such steps do not depend on one another. */
export type EntryStep = Extract<
  Step,
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

const ENTRY_STEPS: ReadonlySet<Step['do']> = new Set<EntryStep['do']>([
  'set-neighbour',
  'delete-neighbour',
  'set-forwarding',
  'delete-forwarding',
  'set-route',
  'delete-route',
]);

export function isEntryStep(step: Step): step is EntryStep {
  return ENTRY_STEPS.has(step.do);
}

/**
 * Makes many steps, a message to the kernel for dozens of them. One that fails keeps no other from being made.
 * @param isNew routes are set where there is none for their destination, or refused with EEXIST: nothing is displaced
 * @returns the refusals; steps that remove succeed when nothing is there
 * @throws NetError when a device is gone, or the kernel does not answer
 */
export function applyEntries(
  socket: NetlinkSocket,
  steps: readonly EntryStep[],
  isNew: (step: EntryStep) => boolean = () => false,
): Map<EntryStep, NetError> {
  const links = new Map<string, number>();
  const index = (name: string): number => {
    const known = links.get(name) ?? getLink(socket, name).index;
    links.set(name, known);
    return known;
  };
  const writers: MessageWriter[] = [];
  const made: { step: EntryStep; absent: readonly string[] }[] = [];
  for (const step of steps) {
    const request = requestOf(step, index, isNew(step));
    writers.push(request.writer);
    made.push({ step, absent: request.absent });
  }
  const refusals = new Map<EntryStep, NetError>();
  for (const [at, error] of socket.requestAll(writers)) {
    const { step, absent } = made[at]!;
    if (!absent.includes(error.code)) refusals.set(step, error);
  }
  return refusals;
}

function requestOf(
  step: EntryStep,
  index: (name: string) => number,
  isNew: boolean,
): { writer: MessageWriter; absent: readonly string[] } {
  switch (step.do) {
    case 'set-neighbour': {
      const { device, address, mac } = step;
      return { writer: replaceNeighbourRequest({ link: index(device), address, mac }), absent: [] };
    }
    case 'delete-neighbour': {
      const { device, address } = step;
      return { writer: deleteNeighbourRequest({ link: index(device), address }), absent: NEIGHBOUR_ABSENT };
    }
    case 'set-forwarding': {
      const { device, mac, remote } = step;
      return { writer: replaceFdbRequest({ link: index(device), mac, remote }), absent: [] };
    }
    case 'delete-forwarding': {
      const { device, mac, remote } = step;
      return { writer: deleteFdbRequest({ link: index(device), mac, remote }), absent: FDB_ABSENT };
    }
    case 'set-route': {
      const spec = ownRoute(index, step.route);
      return { writer: isNew ? addRouteRequest(spec) : replaceRouteRequest(spec), absent: [] };
    }
    case 'delete-route': {
      const spec = step.route.original ?? ownRoute(index, step.route);
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
