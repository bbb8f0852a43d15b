import { CniError, CODE } from '../skel/errors.ts';
import { type CniVersion, isAtLeast } from '../skel/version.ts';
import {
  type AssignedAddress,
  type Dns,
  given,
  type Interface,
  isV6,
  type Result,
  type ResultRoute,
} from './types.ts';

type Json = Record<string, unknown>;

/**
 * A result in the shape of one specification version: 0.1.0 and 0.2.0 carry one address per family, 0.3.0 to 0.4.0
 * name each address's family, 1.1.0 adds MTU, socket path, PCI id and route attributes.
 * @throws CniError 999 for a network without addresses in 0.1.0 or 0.2.0
 */
export function encodeResult(result: Result, version: CniVersion): Json {
  if (!isAtLeast(version, '0.3.0')) return encodeOldest(result, version);
  const newest = isAtLeast(version, '1.1.0');
  return given({
    cniVersion: version,
    interfaces: listed(result.interfaces.map(one => encodeInterface(one, newest))),
    ips: listed(result.ips.map(one => encodeAddress(one, !isAtLeast(version, '1.0.0')))),
    routes: listed(result.routes.map(one => encodeRoute(one, newest))),
    dns: encodeDns(result.dns),
  });
}

/** An empty list is left out. */
const listed = <T>(items: T[] = []) => (items.length > 0 ? items : undefined);

function encodeDns({ nameservers, domain, search, options }: Dns): Json {
  return given({
    nameservers: listed(nameservers),
    domain,
    search: listed(search),
    options: listed(options),
  });
}

function encodeOldest(result: Result, version: CniVersion): Json {
  const family = (v6: boolean) => {
    const assigned = result.ips.find(one => isV6(one.address) === v6);
    const routes = result.routes.filter(route => isV6(route.dst) === v6);
    return (
      assigned &&
      given({
        ip: assigned.address,
        gateway: assigned.gateway,
        routes: listed(routes.map(route => encodeRoute(route, false))),
      })
    );
  };
  const [ip4, ip6] = [family(false), family(true)];
  if (!ip4 && !ip6) {
    throw new CniError(
      CODE.INTERNAL,
      `cannot convert: no valid IP addresses for a result of version ${version}`,
      'a network without addresses needs cniVersion 0.3.0 or newer',
    );
  }
  return given({ cniVersion: version, ip4, ip6, dns: encodeDns(result.dns) });
}

function encodeInterface({ name, mac, mtu, sandbox, socketPath, pciID }: Interface, newest: boolean): Json {
  return given({ name, mac, sandbox, ...(newest ? { mtu: mtu || undefined, socketPath, pciID } : {}) });
}

function encodeAddress({ address, gateway, interface: index }: AssignedAddress, withFamily: boolean): Json {
  const version = isV6(address) ? '6' : '4';
  return given({ ...(withFamily ? { version } : {}), interface: index, address, gateway });
}

function encodeRoute({ dst, gw, mtu, advmss, priority, table, scope }: ResultRoute, newest: boolean): Json {
  if (!newest) return given({ dst, gw });
  return given({
    dst,
    gw,
    mtu: mtu || undefined,
    advmss: advmss || undefined,
    priority: priority || undefined,
    table,
    scope,
  });
}
