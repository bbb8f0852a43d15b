import { RipstopError } from '../../base/errors.ts';
import { canonicalAddress, type Family } from '../../ip/address.ts';
import { covers } from '../../ip/prefix.ts';
import { type Address, listAddresses } from '../../net/rtnetlink/addresses.ts';
import { type Link, listLinks } from '../../net/rtnetlink/links.ts';
import { listRoutes, TABLE_MAIN } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { type NodeConfig, refuseLoop } from './config.ts';

/** Where this node meets its peers. */
export interface NodeUnderlay {
  readonly device: string;
  readonly index: number;
  readonly address: string;
  readonly family: Family;
  /** Bytes. */
  readonly mtu: number;
  /** `veth`, `bond`; undefined for hardware. */
  readonly kind: string | undefined;
}

const SCOPE_LINK = 253;
const SCOPE_HOST = 254;

/**
 * Finds the underlay that the configuration names: an own address, an interface, or (auto) the interface of the default
 * route. Without an address, the family is that of the peers, IPv4 when there are none.
 * @throws RipstopError EUNDERLAY, ECONFIG
 */
export function findUnderlay(socket: NetlinkSocket, config: NodeConfig): NodeUnderlay {
  const links = listLinks(socket);
  const addresses = listAddresses(socket);
  const named = ownAddress(config.underlay);
  const found =
    named !== undefined
      ? byAddress(named, links, addresses)
      : byInterface(chooseLink(socket, config, links), familyOf(config), addresses);
  const same = config.peers.find(
    peer => peer.address === found.address && (peer.port ?? config.port) === config.port,
  );
  if (same)
    throw new RipstopError(
      'ECONFIG',
      `peer "${same.id}": its address ${same.address} is the own one`,
      'leave this node out of its own list of peers',
    );
  const other = config.peers.find(peer => (peer.address.includes(':') ? 6 : 4) !== found.family);
  if (other)
    throw new RipstopError(
      'ECONFIG',
      `peer "${other.id}": ${other.address} is no IPv${found.family} address, but the own one is (${found.address})`,
      'give both the same family',
    );
  const around = [...config.networks, ...config.subnets, ...config.peers.flatMap(peer => peer.subnets)].find(
    subnet => covers(subnet, found.address),
  );
  if (around) refuseLoop(`underlay ${found.device}`, found.address, around);
  return found;
}

function ownAddress(text: string): string | undefined {
  try {
    return canonicalAddress(text);
  } catch {
    return undefined;
  }
}

function familyOf(config: NodeConfig): Family {
  return config.peers[0]?.address.includes(':') ? 6 : 4;
}

function byAddress(address: string, links: readonly Link[], addresses: readonly Address[]): NodeUnderlay {
  const holder = addresses.find(candidate => candidate.address === address);
  const link = holder && links.find(candidate => candidate.index === holder.link);
  if (!holder || !link)
    throw new RipstopError(
      'EUNDERLAY',
      `underlay ${address}: no interface has this address`,
      `addresses here: ${
        usable(addresses)
          .map(candidate => candidate.address)
          .join(', ') || 'none'
      }`,
    );
  return underlayOf(link, holder);
}

function byInterface(link: Link, family: Family, addresses: readonly Address[]): NodeUnderlay {
  const [best] = usable(addresses).filter(
    candidate => candidate.link === link.index && candidate.family === family,
  );
  if (!best)
    throw new RipstopError(
      'EUNDERLAY',
      `underlay ${link.name}: it has no IPv${family} address`,
      'give it one, or name another interface or address',
    );
  return underlayOf(link, best);
}

/** Addresses that peers can reach, lasting ones first. */
function usable(addresses: readonly Address[]): Address[] {
  return addresses
    .filter(address => address.scope !== SCOPE_HOST && address.scope !== SCOPE_LINK)
    .sort((a, b) => Number(a.deprecated || !a.permanent) - Number(b.deprecated || !b.permanent));
}

function chooseLink(socket: NetlinkSocket, config: NodeConfig, links: readonly Link[]): Link {
  const names = links.map(link => link.name).join(', ');
  if (config.underlay !== 'auto') {
    const link = links.find(candidate => candidate.name === config.underlay);
    if (link) return link;
    throw new RipstopError(
      'EUNDERLAY',
      `underlay ${config.underlay}: no such interface`,
      `interfaces: ${names}`,
    );
  }
  const family = familyOf(config);
  const [route] = listRoutes(socket, { family, table: TABLE_MAIN })
    .filter(candidate => candidate.destination === (family === 4 ? '0.0.0.0/0' : '::/0'))
    .sort((a, b) => a.metric - b.metric);
  const index = route?.link ?? route?.hops?.[0]?.link;
  const link = links.find(candidate => candidate.index === index);
  if (link) return link;
  throw new RipstopError(
    'EUNDERLAY',
    `underlay auto: there is no IPv${family} default route`,
    `name the interface or address in the key "underlay"; interfaces: ${names}`,
  );
}

function underlayOf(link: Link, address: Address): NodeUnderlay {
  return {
    device: link.name,
    index: link.index,
    address: address.address,
    family: address.family,
    mtu: link.mtu,
    kind: link.kind,
  };
}
