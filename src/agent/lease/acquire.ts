import { randomInt } from 'node:crypto';
import { RipstopError } from '../../base/errors.ts';
import { type Family, formatAddress } from '../../ip/address.ts';
import { contains, formatPrefix, overlaps, type Prefix, sizeOf } from '../../ip/prefix.ts';
import type { SubnetRange } from '../config/ranges.ts';
import { isWithinRanges, pickSubnets, type Random, subnetsOverlap } from './allocate.ts';
import { addressInUse, identityOf, type Lease, type LeaseAttributes, type Subnets } from './lease.ts';
import type { LeaseRequest } from './store.ts';

/** What the node does next about its lease. */
export type AcquireAction =
  /** The lease is ours and right: write our attributes over it, keeping whether it ends. */
  | { readonly do: 'keep'; readonly lease: Lease }
  /** Remove our stale leases first (`drop`), then create this subnet unless another node did meanwhile. */
  | { readonly do: 'create'; readonly subnets: Subnets; readonly drop: readonly Lease[] };

/**
 * Decides from a list of all leases which subnet the node takes: the one it holds by identity if that still lies within
 * the ranges, otherwise a former one, otherwise a free one. Pure: the caller carries the step out and, after a lost race,
 * calls it again with a new list.
 * @param node this node as `name/boot id`, compared with the live holder of a lease
 * @throws RipstopError EINUSE, ERANGE
 */
export function nextAction(
  request: LeaseRequest,
  all: readonly Lease[],
  node: string,
  random: Random = bound => randomInt(bound),
): AcquireAction {
  const identity = identityOf(request.attributes);
  const ours: Lease[] = [];
  const others: Lease[] = [];
  for (const lease of all) {
    if (lease.node === node || (lease.node === undefined && isIdentity(lease, identity))) ours.push(lease);
    else if (isIdentity(lease, identity))
      throw addressInUse(lease.node ?? '', `${identity}, lease ${lease.key}`);
    else others.push(lease);
  }
  const avoid = (request.avoid ?? []).map(cidr =>
    cidr.family === 4 ? { v4: cidr, v6: undefined } : { v4: undefined, v6: cidr },
  );
  const fitting = ours.filter(
    lease =>
      isWithinRanges(request.config, lease) &&
      !avoid.some(other => subnetsOverlap(other, lease)) &&
      !others.some(other => hasRightTo(other, lease)),
  );
  const { previous } = request;
  const held = fitting.find(lease => previous && subnetsOverlap(lease, previous)) ?? fitting[0];
  if (held) return { do: 'keep', lease: held };

  // An operator made a reservation that does not fit, for another network: it is not deleted.
  const drop = ours.filter(lease => lease.expiresAt !== 0);
  const taken = [...others, ...avoid, ...ours.filter(lease => lease.expiresAt === 0)];
  const picked = pickSubnets(request.config, taken, request.previous, random);
  if ('full' in picked) {
    const range = picked.full === 4 ? request.config.range4! : request.config.range6!;
    throw new RipstopError(
      'ERANGE',
      `no free IPv${picked.full} subnet of /${range.length} left in ${describeRange(picked.full, range)}`,
      `delete leases of nodes that are gone, or widen the range${wireHint(request, range.network)}`,
    );
  }
  return { do: 'create', subnets: picked, drop };
}

/** The network, or the part of it that subnets are taken from. */
function describeRange(family: Family, { network, length, min, max }: SubnetRange): string {
  const size = sizeOf(family, length);
  // By default, the first subnet of the network is not handed out.
  const isWhole =
    min <= network.value + size && max === network.value + sizeOf(family, network.length) - size;
  if (isWhole) return formatPrefix(network);
  const [first, last] = [min, max].map(value => formatAddress({ family, value }));
  return `${first}..${last}, the range that ${SUBNET_KEYS[family]} give in ${formatPrefix(network)}`;
}

const SUBNET_KEYS = { 4: 'SubnetMin and SubnetMax', 6: 'IPv6SubnetMin and IPv6SubnetMax' } as const;

/** True when other nodes accept `other` and reject `own`, by the rules of `PeerSelector`: the older lease wins. */
function hasRightTo(other: Lease, own: Lease): boolean {
  const covers = (outer: Prefix | undefined, inner: Prefix | undefined): boolean =>
    outer !== undefined && inner !== undefined && contains(outer, inner);
  const isOlder = other.since !== undefined && own.since !== undefined && other.since < own.since;
  return isOlder && (covers(other.v4, own.v4) || covers(other.v6, own.v6));
}

function wireHint({ avoid = [] }: LeaseRequest, network: Prefix): string {
  const inside = avoid.filter(cidr => overlaps(cidr, network)).map(formatPrefix);
  return inside.length === 0
    ? ''
    : `; subnets of the network between the nodes (${inside.join(', ')}) are not taken`;
}

/**
 * True when an earlier lease of another node overlaps the one just created, which must then be removed. All readers see the
 * same order, so exactly one of two rivals is removed.
 */
export function losesTieBreak(own: Subnets, earlier: readonly Lease[], attributes: LeaseAttributes): boolean {
  const identity = identityOf(attributes);
  return earlier.some(lease => subnetsOverlap(lease, own) && !isIdentity(lease, identity));
}

function isIdentity(lease: Lease, identity: string): boolean {
  return identityOf(lease.attributes) === identity;
}
