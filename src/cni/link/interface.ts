import { setTimeout as sleep } from 'node:timers/promises';
import { formatAddress } from '../../ip/address.ts';
import { contains, lastOf } from '../../ip/prefix.ts';
import { ignoreErrors, isNetError } from '../../net/error.ts';
import { addAddress, waitForDad } from '../../net/rtnetlink/addresses.ts';
import { changeLink, getLink, type Link } from '../../net/rtnetlink/links.ts';
import { appendRoute, SCOPE_LINK } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { changeSysctl, trySysctl } from '../../net/sysctl.ts';
import { readAddress, readPrefix } from '../config/addresses.ts';
import {
  type AssignedAddress,
  given,
  type Interface,
  isV6,
  type Result,
  type ResultRoute,
} from '../result/types.ts';
import { CniError, CODE } from '../skel/errors.ts';

/** A link as the entry of a result. @param sandbox namespace of the link; absent: that of the node */
export function interfaceEntry({ name, mac, mtu }: Link, sandbox?: string): Interface {
  return given({ name, mac, mtu, sandbox });
}

/** Longest wait for duplicate address detection, ms. */
const DETECTION_MS = 5000;

/**
 * Sets a kernel setting that a pod needs, if this kernel (or namespace) has it: IPv6 may be compiled out.
 * `trySysctl` is for optional settings.
 * @throws NetError EROFS, EACCES, EPERM when it has another value and may not be written
 */
export function writeSysctlIfExists(netns: string, name: string, value: string): void {
  ignoreErrors(['ENOENT'], () => changeSysctl(netns, name, value));
}

/** Without arp_notify or ndisc_notify. */
export const UNANNOUNCED = 'neighbours are not notified when an address moves to another pod';

/** Without accept_dad = 0. */
export const DUPLICATES_LOOKED_FOR =
  'an IPv6 address can be used after duplicate address detection, 1 to 2 s later';

/** The broadcast address of an IPv4 subnet that has one. */
function broadcastOf(cidr: string): { broadcast?: string } {
  const prefix = readPrefix(cidr, 'address');
  return prefix.family === 6 || prefix.length > 30 ? {} : { broadcast: formatAddress(lastOf(prefix)) };
}

/** Refuses a gateway that the pod could not reach: outside of the address's own subnet, and routed over it. */
export function checkGateways(result: Result): void {
  for (const { address, gateway } of result.ips) {
    if (!gateway) continue;
    if (contains(readPrefix(address, 'address'), readAddress(gateway, 'gateway'))) continue;
    throw new CniError(
      CODE.INVALID_CONFIG,
      `gateway ${gateway} is outside the subnet of ${address}`,
      'the gateway has to be an address of the same subnet',
    );
  }
}

/** Lets an interface of the pod have IPv6 addresses. */
export function enableIpv6(netns: string, ifname: string): void {
  for (const name of ['lo', ifname]) writeSysctlIfExists(netns, `net/ipv6/conf/${name}/disable_ipv6`, '0');
  trySysctl(
    netns,
    `net/ipv6/conf/${ifname}/keep_addr_on_down`,
    '1',
    'the pod loses its IPv6 addresses when its interface is set down',
  );
}

/**
 * Gives an interface of the pod its addresses and routes and waits until they can be used.
 * @param link its index
 * @throws NetError, naming address or route, as the kernel refuses them
 */
export async function configureInterface(
  pod: NetlinkSocket,
  netns: string,
  link: number,
  ifname: string,
  result: Result,
): Promise<void> {
  const v6 = result.ips.some(one => isV6(one.address));
  if (v6) enableIpv6(netns, ifname);
  changeLink(pod, link, { up: true });
  for (const { address } of result.ips) addAddress(pod, { link, prefix: address, ...broadcastOf(address) });
  if (v6) await settleAddresses(pod, link);
  installRoutes(pod, link, result);
}

/**
 * Waits until IPv6 addresses can be used. Duplicate address detection does not begin without a carrier: such addresses come
 * into use later, and a TAP has no carrier before a program opens it.
 */
async function settleAddresses(pod: NetlinkSocket, index: number): Promise<void> {
  const { details, running } = getLink(pod, index);
  if (details.tun && !running) return;
  try {
    await waitForDad(pod, index, DETECTION_MS, ms => sleep(ms));
  } catch (error) {
    if (!isNetError(error, 'ETIMEDOUT') || getLink(pod, index).running) throw error;
  }
}

/** Installs the result's routes on an interface whose gateways can be reached. @throws NetError */
export function installRoutes(pod: NetlinkSocket, link: number, result: Result): void {
  for (const route of result.routes) installRoute(pod, link, route, result.ips);
}

/** Gateway that a route without one goes by: that of the first address of its family; none when it is of link scope. */
export function gatewayFor(route: ResultRoute, ips: readonly AssignedAddress[]): string | undefined {
  if (!route.gw && route.scope === SCOPE_LINK) return undefined;
  return route.gw ?? ips.find(one => isV6(one.address) === isV6(route.dst) && one.gateway)?.gateway;
}

function installRoute(
  pod: NetlinkSocket,
  link: number,
  route: ResultRoute,
  ips: readonly AssignedAddress[],
): void {
  const gateway = gatewayFor(route, ips);
  const { dst: destination, mtu, advmss, priority, table, scope } = route;
  const message = given({
    destination,
    link,
    gateway,
    mtu: mtu || undefined,
    advmss: advmss || undefined,
    metric: priority || undefined,
    table,
    scope,
  });
  // IPv6: the route may be there already, for example the connected one of the subnet. Appended: several gateways for one
  // destination are several next hops.
  ignoreErrors(['EEXIST'], () => appendRoute(pod, message));
}
