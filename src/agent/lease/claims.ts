import { describeError } from '../../base/errors.ts';
import { type Address, formatAddress, isSameAddress, parseAddress } from '../../ip/address.ts';
import { contains, formatPrefix, isSamePrefix, networkOf, overlaps, type Prefix } from '../../ip/prefix.ts';
import { isBroadcastOf, whyNoNode } from '../../ip/unicast.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import type { OverlayPlan } from '../inputs/plan.ts';
import { announcesProofs, parseVxlanData, type VxlanData } from './backend-data.ts';
import { isReservation, type Lease } from './lease.ts';
import type { RejectedLease } from './rejected-lease.ts';

/** What a lease claims for its node in one overlay. */
export interface LeaseClaims {
  readonly subnets: readonly Prefix[];
  /** Underlay address of the overlay's family, in canonical text. */
  readonly address: string;
  /** The published underlay addresses of the families that pods have. */
  readonly hosts: readonly Address[];
  /** VTEP MAC (vxlan). */
  readonly mac: string | undefined;
  /** Both nodes leave inner checksums partial for one another. */
  readonly remoteChecksum: boolean;
  /** The node answers which datagrams of a train arrived. */
  readonly provesOffloads: boolean;
  /** Congestion marks of outer headers are lost there: a node of flannel's udp backend. */
  readonly ignoresEcn: boolean;
  /** A Ripstop node, which writes heartbeats, wrote the lease. */
  readonly isOurs: boolean;
  /** On the same link, where plain routes are wanted. */
  readonly direct: boolean;
}

/** This node's side of one overlay, against which each lease is held alone. */
export interface OwnSide {
  readonly plan: OverlayPlan;
  readonly config: NetworkConfig;
  readonly own: Lease;
  /** Asked for DirectRouting and host-gw: whether an address is on a link of this node. */
  readonly onLink: (address: string) => boolean;
  /** Subnets and addresses of the underlay interface. */
  readonly underlay: readonly Prefix[];
}

/**
 * @returns the claims of a lease; why it has none that can be used; undefined where it is of another family, or reserved for a
 *   node that has not started yet
 */
export function claimsOf(lease: Lease, side: OwnSide): LeaseClaims | RejectedLease | undefined {
  const { plan, config, own } = side;
  const { backend } = config;
  const { key, attributes } = lease;
  const reject = rejecting(key);
  // A node of flannel's udp backend writes no type either, so that only another backend shows that it is none.
  if (backend.type !== 'udp' && isReservation(lease)) return undefined;
  // flannel's udp backend writes no type, Ripstop does.
  const type = attributes.backendType || 'udp';
  if (type !== backend.type) return reject('other-backend', `has backend ${type}, this node ${backend.type}`);
  const subnets = plan.carries
    .map(family => (family === 4 ? lease.v4 : lease.v6))
    .filter(cidr => cidr !== undefined)
    .map(networkOf);
  if (subnets.length === 0) return undefined;
  const published = plan.family === 4 ? attributes.publicIp : attributes.publicIpv6;
  if (!published) return reject('no-address', `publishes no IPv${plan.family} address`);
  const host = parseAddress(published);
  if (host?.family !== plan.family)
    return reject(
      'malformed',
      `publishes ${JSON.stringify(published)}, which is not an IPv${plan.family} address`,
    );
  const address = formatAddress(host);
  const useless = addressFault(lease, side);
  if (useless) return reject('malformed', useless);
  const hosts = hostsOf(lease).filter(
    ({ family }) => (family === 4 ? config.v4 : config.v6) || family === plan.family,
  );
  const ownHosts = [...hostsOf(own), parseAddress(plan.address)!];
  const duplicate = hosts.find(host => ownHosts.some(mine => isSameAddress(mine, host)));
  if (duplicate) return reject('duplicate', `publishes this node's own address ${formatAddress(duplicate)}`);
  const data = vxlanData(lease, side);
  if (data && 'reason' in data) return data;
  if (data && data.mac === plan.mac?.toLowerCase())
    return reject('duplicate', `publishes this node's own VTEP MAC ${data.mac}`);
  return (
    rangeFault(lease, subnets, hosts, side) ??
    linkFault(lease, address, side) ?? {
      subnets,
      address,
      hosts,
      mac: data?.mac,
      remoteChecksum: data?.remoteChecksum === true && ownRemoteChecksum(side),
      provesOffloads: announcesProofs(backendDataOf(lease, plan)),
      ignoresEcn: type === 'udp' && !attributes.backendType,
      isOurs: data?.remoteChecksum === true,
      direct: wantsPlainRoutes(side) && side.onLink(address),
    }
  );
}

const rejecting =
  (key: string) =>
  (reason: RejectedLease['reason'], message: string): RejectedLease => ({ key, reason, message });

/** The underlay addresses that a lease publishes. */
function hostsOf({ attributes }: Lease): Address[] {
  return [attributes.publicIp, attributes.publicIpv6]
    .map(text => (text === undefined ? undefined : parseAddress(text)))
    .filter(host => host !== undefined);
}

/** Why a published address is that of no node: packets to it would stay here, or go to many. Continues "the lease". */
function addressFault(lease: Lease, { underlay }: OwnSide): string | undefined {
  for (const host of hostsOf(lease)) {
    const kind = whyNoNode(host);
    if (kind !== undefined) return `publishes ${formatAddress(host)}, which is ${kind}`;
    const subnet = underlay.find(candidate => isBroadcastOf(candidate, host));
    if (subnet)
      return `publishes ${formatAddress(host)}, the broadcast address of the underlay subnet ${formatPrefix(subnet)}`;
  }
  return undefined;
}

/** What is wrong with the range of a lease whatever the other leases are: this node and its underlay always win. */
function rangeFault(
  { key }: Lease,
  subnets: readonly Prefix[],
  hosts: readonly Address[],
  { config, own, underlay }: OwnSide,
): RejectedLease | undefined {
  const reject = rejecting(key);
  for (const cidr of subnets) {
    const text = formatPrefix(cidr);
    const network = cidr.family === 4 ? config.v4 : config.v6;
    if (!network || !contains(network, cidr))
      return reject('outside-network', `has ${text}, which is outside the pod network`);
    const mine = cidr.family === 4 ? own.v4 : own.v6;
    if (mine && contains(mine, cidr))
      return reject('overlap', `has ${text}, which overlaps ${formatPrefix(mine)} of this node`);
    const wire = underlay.find(subnet => overlaps(subnet, cidr));
    if (wire)
      return reject(
        'underlay',
        `has ${text}, which overlaps the underlay subnet ${formatPrefix(wire)} of this node`,
      );
    const host = hosts.find(candidate => contains(cidr, candidate));
    if (host)
      return reject(
        'underlay',
        `has ${text}, which contains its own underlay address ${formatAddress(host)}`,
      );
  }
  for (const mine of [own.v4, own.v6]) {
    const host = hosts.find(candidate => mine && contains(mine, candidate));
    if (mine && host)
      return reject(
        'underlay',
        `publishes ${formatAddress(host)}, which lies within ${formatPrefix(mine)} of this node`,
      );
  }
  return undefined;
}

function linkFault({ key }: Lease, address: string, side: OwnSide): RejectedLease | undefined {
  if (side.config.backend.type !== 'host-gw' || side.onLink(address)) return undefined;
  const message = `publishes ${address}, which is behind a router: host-gw needs all nodes on one link`;
  return { key, reason: 'off-link', message };
}

function wantsPlainRoutes({ config: { backend } }: OwnSide): boolean {
  return backend.type === 'host-gw' || (backend.type === 'vxlan' && backend.directRouting);
}

function ownRemoteChecksum(side: OwnSide): boolean {
  const data = vxlanData(side.own, side);
  return data !== undefined && !('reason' in data) && data.remoteChecksum;
}

/** What the lease publishes for a vxlan overlay. */
function vxlanData(lease: Lease, { plan, config }: OwnSide): VxlanData | RejectedLease | undefined {
  if (plan.mode !== 'vxlan' || config.backend.type !== 'vxlan') return undefined;
  const { key } = lease;
  try {
    const data = parseVxlanData(backendDataOf(lease, plan), key);
    if (data.vni === undefined || data.vni === config.backend.vni) return data;
    return { key, reason: 'vni-differs', message: `has VNI ${data.vni}, this node ${config.backend.vni}` };
  } catch (error) {
    return { key, reason: 'malformed', message: `cannot be read: ${describeError(error)}` };
  }
}

/** The backend data of the overlay's family. */
function backendDataOf({ attributes }: Lease, { family }: OverlayPlan): unknown {
  return family === 4 ? attributes.backendData : attributes.backendV6Data;
}

/** True when two leases claim the same; checksums and the path of packets are not claims. */
export function isSameClaim(a: LeaseClaims, b: LeaseClaims): boolean {
  return (
    a.address === b.address &&
    a.mac === b.mac &&
    isSameList(a.subnets, b.subnets, isSamePrefix) &&
    isSameList(a.hosts, b.hosts, isSameAddress)
  );
}

function isSameList<T>(a: readonly T[], b: readonly T[], isSame: (x: T, y: T) => boolean): boolean {
  return (
    a.length === b.length &&
    a.every((entry, at) => {
      const other = b[at];
      return other !== undefined && isSame(entry, other);
    })
  );
}
