import { constants } from 'node:os';
import { addAddress, deleteAddress } from '../../net/addresses.ts';
import { NetError, unless } from '../../net/error.ts';
import { deleteFdb, replaceFdb } from '../../net/fdb.ts';
import { changeLink, createLink, deleteLink, findLink, getLink } from '../../net/links.ts';
import { deleteNeighbour, replaceNeighbour } from '../../net/neighbours.ts';
import { deleteRoute, type RouteSpec, replaceRoute, SCOPE_UNIVERSE } from '../../net/routes.ts';
import type { NetlinkSocket } from '../../net/socket.ts';
import { changeSetting, wishSetting } from '../../net/sysctl.ts';
import { type DesiredDevice, PROTOCOL_RIPSTOP, type RouteEntry } from './state.ts';
import type { Step } from './steps.ts';

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
      replaceRoute(socket, { ...routeSpec(socket, step.route), protocol: PROTOCOL_RIPSTOP });
      return;
    case 'delete-route': {
      const { route } = step;
      deleteRoute(socket, route.original);
      return;
    }
    case 'set-setting':
      changeSetting(socket.netns, step.name, step.value);
      return;
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

/** A route as the kernel is asked for it. */
function routeSpec(socket: NetlinkSocket, route: RouteEntry): RouteSpec {
  return {
    destination: route.destination,
    scope: SCOPE_UNIVERSE,
    gateway: route.gateway,
    link: route.device === undefined ? undefined : getLink(socket, route.device).index,
    onlink: route.onlink,
  };
}
