import type { Family } from '../../ip/address.ts';
import { isNetError } from '../../net/error.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { findLink, listLinks } from '../../net/rtnetlink/links.ts';
import { listRoutes, type Route, routeTo, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { BackendConfig } from '../config/backend.ts';
import { deviceName } from './plan.ts';
import type { LinkAddress, LinkSnapshot, UnderlayLink } from './underlay.ts';

const SCOPES: Readonly<Record<number, LinkAddress['scope']>> = {
  0: 'global',
  200: 'site',
  253: 'link',
  254: 'host',
};

/** Links, addresses and routes of a namespace, for the choice of the underlay. */
export function linkSnapshot(socket: NetlinkSocket): LinkSnapshot {
  return {
    links(): UnderlayLink[] {
      const addresses = listAddresses(socket);
      return listLinks(socket).map(({ index, name, mtu }) => ({
        index,
        name,
        mtu,
        addresses: addresses
          .filter(address => address.link === index && !address.tentative && !address.duplicate)
          .map(address => ({
            family: address.family,
            address: address.address,
            scope: SCOPES[address.scope] ?? 'global',
            // IFA_F_SECONDARY and IFA_F_TEMPORARY are the same bit: for IPv6 it means a privacy address (RFC 8981).
            temporary: address.family === 6 && address.secondary,
            deprecated: address.deprecated,
          })),
      }));
    },
    defaultRoute(family) {
      const destination = family === 4 ? '0.0.0.0/0' : '::/0';
      const routes = listRoutes(socket, { family, table: TABLE_MAIN }).filter(
        route => route.destination === destination,
      );
      const best = routes.sort((a, b) => a.metric - b.metric)[0];
      return best?.link ?? best?.hops?.[0]?.link;
    },
    routeTo(address) {
      const route = findRoute(socket, address);
      return route?.link === undefined ? undefined : { link: route.link, source: route.source ?? '' };
    },
  };
}

/** True when packets to `address` leave by the link `index` without a router in between. */
export function isOnLink(socket: NetlinkSocket, address: string, index: number): boolean {
  const route = findRoute(socket, address);
  return (
    route !== undefined && route.type === 'unicast' && route.link === index && route.gateway === undefined
  );
}

/** MACs of kernel VXLAN devices that flannel, or our own kernel data plane, left: peers already have them. */
export function deviceMacs(socket: NetlinkSocket, backend: BackendConfig): { mac?: string; mac6?: string } {
  if (backend.type !== 'vxlan') return {};
  const macOf = (family: Family): string | undefined => {
    const link = findLink(socket, deviceName(backend, family));
    return link?.kind === 'vxlan' ? link.mac : undefined;
  };
  const [mac, mac6] = [macOf(4), macOf(6)];
  return { ...(mac ? { mac } : {}), ...(mac6 ? { mac6 } : {}) };
}

function findRoute(socket: NetlinkSocket, address: string): Route | undefined {
  try {
    return routeTo(socket, address);
  } catch (error) {
    if (isNetError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL')) return undefined;
    throw error;
  }
}
