import type { Family } from '../../ip/address.ts';
import { covers } from '../../ip/prefix.ts';
import { isNetError } from '../../net/error.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { listFdb } from '../../net/rtnetlink/fdb.ts';
import { findLink, type Link, listLinks } from '../../net/rtnetlink/links.ts';
import { listNeighbours } from '../../net/rtnetlink/neighbours.ts';
import { listRoutes, type Route, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { readSysctl } from '../../net/sysctl.ts';
import {
  type DesiredState,
  type ObservedDevice,
  type ObservedRoute,
  type ObservedState,
  type OwnershipScope,
  PROTOCOL_BOOT,
  PROTOCOL_RIPSTOP,
} from './state.ts';

const SCOPE_LINK = 253;

/**
 * The present kernel state of an overlay. Changes nothing.
 * @param wanted its destinations and sysctls are observed besides what is marked as ours
 * @throws NetError
 */
export function observe(socket: NetlinkSocket, scope: OwnershipScope, wanted: DesiredState): ObservedState {
  const links = new Map(listLinks(socket).map(link => [link.index, link]));
  const link = [...links.values()].find(candidate => candidate.name === scope.device);
  return {
    ...observeBase(socket, scope, wanted),
    neighbours: link ? permanentNeighbours(socket, link.index) : [],
    forwarding: link?.kind === 'vxlan' ? forwardingOf(socket, link.index) : [],
    routes: observeRoutes(socket, scope, wanted, links),
  };
}

/** The same without the entries of peers: cheap, however many there are. */
export function observeBase(
  socket: NetlinkSocket,
  scope: OwnershipScope,
  wanted: DesiredState,
): ObservedState {
  const link = scope.device === undefined ? undefined : findLink(socket, scope.device);
  return {
    device: link && observeDevice(socket, link),
    neighbours: [],
    forwarding: [],
    routes: [],
    settings: new Map(wanted.settings.map(({ name }) => [name, sysctlOf(socket.netns, name)])),
  };
}

function observeDevice(socket: NetlinkSocket, link: Link): ObservedDevice {
  const { vxlan } = link.details;
  const parent = vxlan && listLinks(socket).find(({ index }) => index === vxlan.parent);
  const addresses = listAddresses(socket, { link: link.index }).filter(
    address => address.scope !== SCOPE_LINK,
  );
  return {
    index: link.index,
    name: link.name,
    kind: link.kind,
    up: link.up,
    mtu: link.mtu,
    mac: link.mac,
    txQueueLength: link.txQueueLength,
    alias: link.alias,
    addresses: addresses.map(address => address.prefix),
    vxlan: vxlan && {
      vni: vxlan.vni,
      port: vxlan.port,
      local: vxlan.local ?? '',
      parent: parent?.name ?? '',
      gbp: vxlan.gbp,
      learning: vxlan.learning,
      copyDscp: vxlan.copyDscp ?? false,
    },
  };
}

function permanentNeighbours(socket: NetlinkSocket, link: number) {
  return listNeighbours(socket, { link })
    .filter(neighbour => neighbour.permanent)
    .map(({ address, mac }) => ({ address, mac: mac ?? '' }));
}

function forwardingOf(socket: NetlinkSocket, link: number) {
  return listFdb(socket, link)
    .filter(entry => entry.permanent && entry.self && entry.remote !== undefined)
    .map(({ mac, remote }) => ({ mac, remote: remote ?? '' }));
}

function observeRoutes(
  socket: NetlinkSocket,
  scope: OwnershipScope,
  wanted: DesiredState,
  links: ReadonlyMap<number, Link>,
): ObservedRoute[] {
  const destinations = new Set(wanted.routes.map(route => route.destination));
  return observeAllRoutes(socket, links).filter(
    route => destinations.has(route.destination) || isOurs(route, scope),
  );
}

/** The routes of the main table. @throws NetError */
export function observeAllRoutes(
  socket: NetlinkSocket,
  links: ReadonlyMap<number, Link> = new Map(listLinks(socket).map(link => [link.index, link])),
): ObservedRoute[] {
  return listRoutes(socket, { table: TABLE_MAIN }).map(route => observedRoute(route, links));
}

/** True for a route that Ripstop made for this overlay, and for one that flannel left. */
export function isOurs(route: ObservedRoute, scope: OwnershipScope): boolean {
  if (route.protocol !== PROTOCOL_RIPSTOP) return isLeftover(route, scope);
  return (
    (route.device !== undefined && route.device === scope.device) ||
    [...scope.networks, ...(scope.formerNetworks ?? [])].some(network => covers(network, route.destination))
  );
}

/**
 * True for a route of the form that flannel gives its routes: through the device of the overlay, or by a gateway of the
 * underlay to a node's subnet inside the pod network.
 */
function isLeftover(route: ObservedRoute, { leftovers, device, networks }: OwnershipScope): boolean {
  const { protocol, special, gateway, destination, metric, family } = route;
  if (!leftovers || protocol !== PROTOCOL_BOOT || special || gateway === undefined) return false;
  if (metric !== defaultMetric(family)) return false;
  const around = networks.find(network => covers(network, destination));
  if (around === undefined || around === destination) return false;
  if (device !== undefined && route.device === device) return route.onlink === true;
  const isByUnderlay = leftovers.underlay === undefined || route.device === leftovers.underlay;
  return isByUnderlay && leftovers.lengths.includes(prefixLength(destination));
}

function prefixLength(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** Metric of a route for which none was given. */
export function defaultMetric(family: Family): number {
  return family === 6 ? 1024 : 0;
}

function observedRoute(route: Route, links: ReadonlyMap<number, Link>): ObservedRoute {
  return {
    family: route.family,
    destination: route.destination,
    gateway: route.gateway,
    device: route.link === undefined ? undefined : links.get(route.link)?.name,
    onlink: route.onlink,
    protocol: route.protocol,
    metric: route.metric,
    special: route.type !== 'unicast' || route.hops !== undefined,
    original: route,
  };
}

function sysctlOf(netns: string, name: string): string | undefined {
  try {
    return readSysctl(netns, name);
  } catch (error) {
    if (isNetError(error, 'ENOENT')) return undefined;
    throw error;
  }
}
