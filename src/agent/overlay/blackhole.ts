import { covers, formatPrefix } from '../../ip/prefix.ts';
import { ignoreErrors } from '../../net/error.ts';
import { addRoute, deleteRoute, listRoutes, type Route, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { defaultMetric } from '../kernel/observe.ts';
import { PROTOCOL_BOOT } from '../kernel/state.ts';
import type { Subnets } from '../lease/lease.ts';

/** Metric of the blackhole route: every other route to the pods takes precedence. Ours are recognised by it. */
const METRIC = 9999;
const PROTOCOL_STATIC = 4;

/** Which blackhole routes may be removed. */
export interface BlackholeScope {
  /** Pod networks of the present configuration, and of an earlier one. */
  readonly networks: readonly string[];
  readonly formerNetworks: readonly string[];
  /** Also those that flannel left: it made them with the default metric, by which they can precede routes to pods. */
  readonly fromFlannel: boolean;
}

export interface BlackholeChange {
  readonly added: boolean;
  readonly destination: string;
}

/**
 * Adds routes that drop packets to pods that do not exist, which would leave by the default route.
 * @returns what was changed
 * @throws NetError
 */
export function addBlackholes(socket: NetlinkSocket, { v4, v6 }: Subnets): BlackholeChange[] {
  const changes: BlackholeChange[] = [];
  for (const subnet of [v4, v6]) {
    if (!subnet) continue;
    const destination = formatPrefix(subnet);
    const route = { destination, type: 'blackhole', metric: METRIC, protocol: PROTOCOL_STATIC } as const;
    if (ignoreErrors(['EEXIST'], () => addRoute(socket, route))) changes.push({ added: true, destination });
  }
  return changes;
}

/**
 * Removes the blackhole routes of former subnets: they would drop packets to the node that has the subnet now. Reads all
 * routes of the node.
 * @param wanted the subnets whose route stays
 * @returns what was changed
 * @throws NetError
 */
export function removeBlackholes(
  socket: NetlinkSocket,
  { v4, v6 }: Subnets,
  scope: BlackholeScope,
): BlackholeChange[] {
  const wanted = [v4, v6].filter(subnet => subnet !== undefined).map(formatPrefix);
  return listRoutes(socket, { table: TABLE_MAIN })
    .filter(route => isBlackhole(route, scope))
    .filter(route => !isOwnBlackhole(route) || !wanted.includes(route.destination))
    .filter(({ destination, metric, protocol }) =>
      deleteRoute(socket, { destination, metric, protocol, type: 'blackhole' }),
    )
    .map(({ destination }) => ({ added: false, destination }));
}

/** True for a blackhole route into these networks that an agent made, or flannel where that is asked for. */
export function isBlackhole(
  route: Route,
  { networks, formerNetworks, fromFlannel }: BlackholeScope,
): boolean {
  const { type, destination, protocol, metric, family } = route;
  if (type !== 'blackhole') return false;
  if (isOwnBlackhole(route))
    return [...networks, ...formerNetworks].some(network => covers(network, destination));
  if (!fromFlannel || protocol !== PROTOCOL_BOOT || metric !== defaultMetric(family)) return false;
  return networks.some(network => network !== destination && covers(network, destination));
}

function isOwnBlackhole({ type, metric, protocol }: Route): boolean {
  return type === 'blackhole' && metric === METRIC && protocol === PROTOCOL_STATIC;
}
