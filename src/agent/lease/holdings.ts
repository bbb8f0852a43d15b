import { formatAddress, isSameAddress } from '../../ip/address.ts';
import { contains, formatPrefix, halvesOf, isSamePrefix, type Prefix } from '../../ip/prefix.ts';
import type { LeaseClaims } from './claims.ts';
import { type Lease, parseKey } from './lease.ts';
import { AddressList, PrefixIndex } from './prefix-index.ts';
import { addTo, deleteFrom } from './set-map.ts';

/** A lease that may hold what it claims. */
export interface Holder {
  readonly key: string;
  /** What it holds; undefined while it is not a peer. */
  held: LeaseClaims | undefined;
  /** Order in which the leases of one node became peers. */
  turn: number;
}

/** Something that a lease claims and another one holds. */
export interface Conflict<T> {
  readonly with: T;
  readonly reason: 'overlap' | 'underlay' | 'duplicate';
  /** Continues "the lease". */
  readonly message: string;
}

/** Who holds which ranges, addresses and MACs in one overlay. */
export class Holdings<T extends Holder> {
  readonly #own: Lease;
  /** Each lease is a node of its own (Kubernetes), whatever addresses it publishes. */
  readonly #isNodePerLease: boolean;
  readonly #byAddress = new Map<string, T[]>();
  readonly #byHost = new Map<string, Set<T>>();
  readonly #byMac = new Map<string, Set<T>>();
  readonly #ranges = new PrefixIndex<T>();
  readonly #hosts = new AddressList<T>();

  /** @param own this node's lease */
  constructor(own: Lease) {
    this.#own = own;
    this.#isNodePerLease = parseKey(own.key) === undefined;
  }

  /** Those with this underlay address, in the order in which they came. */
  at(address: string): readonly T[] {
    return this.#byAddress.get(address) ?? [];
  }

  /** Those with a range that equals `subnet` or contains it. */
  around(subnet: Prefix): T[] {
    return this.#ranges.containing(subnet).map(({ owner }) => owner);
  }

  add(holder: T, claims: LeaseClaims): void {
    holder.held = claims;
    const { address, mac } = claims;
    this.#byAddress.set(
      address,
      [...this.at(address), holder].sort((a, b) => a.turn - b.turn),
    );
    for (const host of claims.hosts) {
      addTo(this.#byHost, formatAddress(host), holder);
      this.#hosts.add(host, holder);
    }
    if (mac !== undefined) addTo(this.#byMac, mac, holder);
    for (const subnet of claims.subnets) this.#ranges.add(subnet, holder);
  }

  delete(holder: T): void {
    const { held } = holder;
    if (!held) return;
    holder.held = undefined;
    const others = this.at(held.address).filter(other => other !== holder);
    if (others.length > 0) this.#byAddress.set(held.address, others);
    else this.#byAddress.delete(held.address);
    for (const host of held.hosts) {
      deleteFrom(this.#byHost, formatAddress(host), holder);
      this.#hosts.delete(host, holder);
    }
    if (held.mac !== undefined) deleteFrom(this.#byMac, held.mac, holder);
    for (const subnet of held.subnets) this.#ranges.delete(subnet, holder);
  }

  /**
   * What of the claims others hold.
   * @param before what this lease held until now, which no other lease can hold
   */
  *conflicts(claims: LeaseClaims, before: LeaseClaims | undefined): Generator<Conflict<T>> {
    const newHosts = claims.hosts.filter(host => !before?.hosts.some(known => isSameAddress(known, host)));
    for (const host of newHosts)
      for (const other of this.#others(this.#byHost.get(formatAddress(host)), claims))
        yield {
          with: other,
          reason: 'duplicate',
          message: `publishes the underlay address ${formatAddress(host)} of lease ${other.key}`,
        };
    // At another address, the MAC may be that of another lease which this node had at the former one.
    if (claims.mac !== undefined && (claims.mac !== before?.mac || claims.address !== before.address))
      for (const other of this.#others(this.#byMac.get(claims.mac), claims))
        yield {
          with: other,
          reason: 'duplicate',
          message: `publishes the VTEP MAC ${claims.mac} of lease ${other.key}`,
        };
    for (const subnet of claims.subnets)
      if (!before?.subnets.some(known => isSamePrefix(known, subnet)))
        yield* this.#rangeConflicts(subnet, claims);
    for (const host of newHosts)
      for (const { prefix, owner } of this.#ranges.containing(host))
        yield {
          with: owner,
          reason: 'underlay',
          message: `publishes ${formatAddress(host)}, which lies within ${formatPrefix(prefix)} of lease ${owner.key}`,
        };
  }

  *#rangeConflicts(subnet: Prefix, claims: LeaseClaims): Generator<Conflict<T>> {
    for (const { prefix, owner } of this.#ranges.containing(subnet))
      if (!this.#isSameNode(owner.held!, claims))
        yield {
          with: owner,
          reason: 'overlap',
          message: `has ${formatPrefix(subnet)}, which overlaps ${formatPrefix(prefix)} of lease ${owner.key}`,
        };
    const host = this.#hosts.firstWithin(subnet);
    if (host)
      yield {
        with: host.owner,
        reason: 'underlay',
        message: `has ${formatPrefix(subnet)}, which contains the underlay address ${formatAddress(host.address)} of lease ${host.owner.key}`,
      };
  }

  #others(holders: ReadonlySet<T> | undefined, claims: LeaseClaims): T[] {
    return [...(holders ?? [])].filter(({ held }) => !this.#isSameNode(held!, claims));
  }

  /** A node whose subnet changed may have two leases for a day. */
  #isSameNode(a: LeaseClaims, b: LeaseClaims): boolean {
    return !this.#isNodePerLease && a.address === b.address && a.mac === b.mac;
  }

  /**
   * The part of a range outside this node's own and outside those that begin at the same address: the kernel's route and
   * neighbour of a range are found by that address, and two ranges cannot share it. The rest is left to longest prefix match.
   * @param address of the node that holds it
   */
  left(range: Prefix, address: string): Prefix[] {
    const mine = range.family === 4 ? this.#own.v4 : this.#own.v6;
    if (mine && contains(mine, range)) return [];
    const rivals = this.#ranges.beginningAt(range).filter(({ held }) => held!.address !== address);
    if (rivals.some(({ held }) => held!.subnets.some(subnet => isSamePrefix(subnet, range)))) return [];
    if (rivals.length === 0 && !(mine && contains(range, mine))) return [range];
    return halvesOf(range).flatMap(half => this.left(half, address));
  }
}
