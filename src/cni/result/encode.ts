import { CniError, CODE } from '../skel/errors.ts';
import { type CniVersion, isAtLeast } from '../skel/version.ts';
import {
  type AssignedAddress,
  type Dns,
  type Interface,
  isV6,
  type Result,
  type ResultRoute,
} from './types.ts';

type Json = Record<string, unknown>;

/**
 * A result in the shape of one specification version: 0.1.0 and 0.2.0 carry one address per family, 0.3.0 to 0.4.0
 * name each address's family, 1.1.0 adds MTU, socket path, PCI id and route attributes.
 * @throws CniError 999 when 0.1.0 or 0.2.0 has to tell of a network without addresses
 */
export function encodeResult(result: Result, version: CniVersion): Json {
  if (!isAtLeast(version, '0.3.0')) return encodeOldest(result, version);
  const newest = isAtLeast(version, '1.1.0');
  return {
    cniVersion: version,
    ...listed(
      'interfaces',
      result.interfaces.map(one => encodeInterface(one, newest)),
    ),
    ...listed(
      'ips',
      result.ips.map(one => encodeAddress(one, !isAtLeast(version, '1.0.0'))),
    ),
    ...listed(
      'routes',
      result.routes.map(one => encodeRoute(one, newest)),
    ),
    dns: encodeDns(result.dns),
  };
}

function encodeOldest(result: Result, version: CniVersion): Json {
  const family = (v6: boolean) => {
    const assigned = result.ips.find(one => isV6(one.address) === v6);
    if (!assigned) return undefined;
    const routes = result.routes
      .filter(route => isV6(route.dst) === v6)
      .map(route => encodeRoute(route, false));
    return {
      ip: assigned.address,
      ...(assigned.gateway ? { gateway: assigned.gateway } : {}),
      ...listed('routes', routes),
    };
  };
  const ip4 = family(false);
  const ip6 = family(true);
  if (!ip4 && !ip6) {
    throw new CniError(
      CODE.INTERNAL,
      `cannot convert: no valid IP addresses for a result of version ${version}`,
      'a network without addresses needs cniVersion 0.3.0 or newer',
    );
  }
  return {
    cniVersion: version,
    ...(ip4 ? { ip4 } : {}),
    ...(ip6 ? { ip6 } : {}),
    dns: encodeDns(result.dns),
  };
}

function listed(key: string, items: readonly unknown[]): Json {
  return items.length > 0 ? { [key]: items } : {};
}

function encodeInterface(one: Interface, newest: boolean): Json {
  return {
    name: one.name,
    ...(one.mac ? { mac: one.mac } : {}),
    ...(newest && one.mtu ? { mtu: one.mtu } : {}),
    ...(one.sandbox ? { sandbox: one.sandbox } : {}),
    ...(newest && one.socketPath ? { socketPath: one.socketPath } : {}),
    ...(newest && one.pciID ? { pciID: one.pciID } : {}),
  };
}

function encodeAddress(one: AssignedAddress, withFamily: boolean): Json {
  return {
    ...(withFamily ? { version: isV6(one.address) ? '6' : '4' } : {}),
    ...(one.interface === undefined ? {} : { interface: one.interface }),
    address: one.address,
    ...(one.gateway ? { gateway: one.gateway } : {}),
  };
}

function encodeRoute(one: ResultRoute, newest: boolean): Json {
  return {
    dst: one.dst,
    ...(one.gw ? { gw: one.gw } : {}),
    ...(newest && one.mtu ? { mtu: one.mtu } : {}),
    ...(newest && one.advmss ? { advmss: one.advmss } : {}),
    ...(newest && one.priority ? { priority: one.priority } : {}),
    ...(newest && one.table !== undefined ? { table: one.table } : {}),
    ...(newest && one.scope !== undefined ? { scope: one.scope } : {}),
  };
}

function encodeDns(dns: Dns): Json {
  return {
    ...listed('nameservers', dns.nameservers ?? []),
    ...(dns.domain ? { domain: dns.domain } : {}),
    ...listed('search', dns.search ?? []),
    ...listed('options', dns.options ?? []),
  };
}
