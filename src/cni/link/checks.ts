import { canonicalAddress } from '../../ip/address.ts';
import { canonicalNetwork, formatPrefix } from '../../ip/prefix.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { findLink, type Link, listLinks } from '../../net/rtnetlink/links.ts';
import { listRoutes, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import { listRules } from '../../net/rtnetlink/rules.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { readPrefix } from '../config/addresses.ts';
import { hostPart, type Interface, isV6, type Result } from '../result/types.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import { gatewayFor } from './interface.ts';

/** What CHECK finds changed: code 999, as the reference plugins answer. */
export function failCheck(problem: string, details?: string): never {
  throw new CniError(CODE.INTERNAL, problem, details);
}

/** The pod's interface in the previous result, and the result with the addresses of this interface only. */
export function podInterface(call: Call, result: Result): { entry: Interface; own: Result } {
  const index = result.interfaces.findIndex(one => one.name === call.ifname && one.sandbox);
  const entry = result.interfaces[index];
  if (!entry) failCheck(`prevResult has no interface "${call.ifname}" in a sandbox`);
  if (entry.sandbox !== call.netns) {
    failCheck(`Sandbox in prevResult ${entry.sandbox} doesn't match configured netns: ${call.netns}`);
  }
  const ips = result.ips.filter(one => one.interface === undefined || one.interface === index);
  return { entry, own: { ...result, ips } };
}

/** The link of an entry of the previous result, with the MAC that it had. */
export function checkLink(socket: NetlinkSocket, entry: Interface, kind?: string): Link {
  const link = findLink(socket, entry.name);
  const place = entry.sandbox ? `container ${entry.sandbox}` : 'host';
  if (!link) failCheck(`Interface ${entry.name} is missing in the ${place}`);
  if (kind && link.kind !== kind) failCheck(`Interface ${entry.name} in the ${place} is not of kind ${kind}`);
  if (entry.mac && link.mac !== entry.mac.toLowerCase()) {
    failCheck(`Interface ${entry.name} Mac ${entry.mac} doesn't match ${place} Mac: ${link.mac}`);
  }
  return link;
}

/** Every address of `result` has to be on the pod's interface. */
export function checkAddresses(pod: NetlinkSocket, link: Link, result: Result): void {
  const there = new Set(listAddresses(pod, { link: link.index }).map(one => one.prefix));
  for (const one of result.ips) {
    const prefix = formatPrefix(readPrefix(one.address, 'prevResult address'));
    if (!there.has(prefix)) failCheck(`Failed to match expected IP ${one.address} on interface ${link.name}`);
  }
}

/** Tables in which a route without a table may be: the chained plugins sbr and vrf move routes. */
function routeTables(pod: NetlinkSocket, { ips }: Result): Set<number> {
  const own = new Set(ips.map(one => canonicalAddress(hostPart(one.address))));
  const ofRules = listRules(pod).filter(rule => rule.source !== undefined && own.has(rule.source));
  const ofVrfs = listLinks(pod).flatMap(link => link.details.vrf ?? []);
  return new Set([TABLE_MAIN, ...[...ofRules, ...ofVrfs].map(one => one.table)]);
}

/** Every route of the previous result has to be there, by its gateway. */
export function checkRoutes(pod: NetlinkSocket, result: Result): void {
  if (result.routes.length === 0) return;
  const there = listRoutes(pod);
  const tables = routeTables(pod, result);
  for (const route of result.routes) {
    const destination = canonicalNetwork(route.dst);
    const gateway = gatewayFor(route, result.ips);
    const wanted = gateway && canonicalAddress(gateway);
    const found = there.some(
      one =>
        one.family === (isV6(route.dst) ? 6 : 4) &&
        one.destination === destination &&
        (route.table ? one.table === route.table : tables.has(one.table)) &&
        (wanted === undefined || one.gateway === wanted || one.hops?.some(hop => hop.gateway === wanted)),
    );
    if (!found)
      failCheck(`Expected Route ${route.dst}${gateway ? ` via ${gateway}` : ''} not found in routing table`);
  }
}
