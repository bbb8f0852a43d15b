import { RipstopError } from '../base/errors.ts';
import { overflow, type TableCapacity } from './capacity.ts';
import type { Claim, Claims } from './claims.ts';
import { maskWord } from './lpm.ts';
import { subnetKey, subnetText } from './subnet.ts';

/*
 * Who owns what among the peers that are to be published: nothing may belong to two of them, or the tables would
 * have to choose. Everything here throws before a table is touched.
 */

/** @throws RipstopError ECONFIG, EOVERLAP (names both peers) or ECAPACITY (names the key) */
export function checkTogether(peers: readonly Claims[], capacity: TableCapacity, allowNested: boolean): void {
  const ids = new Set<string>();
  const prefixes = new Owners('subnet', 'give each peer subnets of its own');
  const macs = new Owners('MAC', 'give each VTEP a MAC of its own');
  const addresses = new Owners('underlay address', 'list each node once');
  const vteps = new Owners('VTEP address', 'give each VTEP an address of its own');
  const wanted = { 4: 0, 6: 0 };
  for (const peer of peers) {
    const { id } = peer;
    if (ids.has(id)) throw new RipstopError('ECONFIG', `peer ${id} is listed twice`, 'list each node once');
    ids.add(id);
    addresses.claim(peer.source, id);
    for (const mac of peer.macs) macs.claim(mac, id);
    for (const subnet of peer.subnets) {
      prefixes.claim(subnet, id);
      wanted[subnet.what.family]++;
    }
    for (const vtep of peer.vteps) vteps.claim(vtep, id);
  }
  if (!allowNested) refuseNesting(peers, prefixes);
  if (peers.length > capacity.peers) throw overflow('peers', capacity.peers, peers.length);
  if (macs.size > capacity.macs) throw overflow('macs', capacity.macs, macs.size);
  const most = Math.max(wanted[4], wanted[6], Math.ceil(vteps.size / 2));
  if (most > capacity.prefixes) throw overflow('prefixes', capacity.prefixes, most);
}

/** Remembers the owner of each key and throws EOVERLAP when a second one comes. */
class Owners {
  readonly #what: string;
  readonly #hint: string;
  readonly #owners = new Map<string, string>();

  constructor(what: string, hint: string) {
    this.#what = what;
    this.#hint = hint;
  }

  /** Notes that `id` has it. */
  claim<T>({ key, what, text }: Claim<T>, id: string): void {
    const owner = this.#owners.get(key);
    if (owner !== undefined)
      throw new RipstopError(
        'EOVERLAP',
        `peers ${owner} and ${id} both have the ${this.#what} ${text(what)}`,
        this.#hint,
      );
    this.#owners.set(key, id);
  }

  get size(): number {
    return this.#owners.size;
  }

  ownerOf(key: string): string | undefined {
    return this.#owners.get(key);
  }
}

/**
 * Throws EOVERLAP when a prefix of one peer lies within a prefix of another: leases never nest, so it is a slip of
 * the hand, and the longer one would silently take traffic from the shorter.
 */
function refuseNesting(peers: readonly Claims[], owners: Owners): void {
  const lengths = { 4: lengthsOf(peers, 4), 6: lengthsOf(peers, 6) };
  for (const { id, subnets } of peers) {
    for (const { what: subnet } of subnets) {
      for (const length of lengths[subnet.family]) {
        if (length >= subnet.length) break;
        const outer = subnet.words.map((word, index) => word & maskWord(length - index * 32));
        const owner = owners.ownerOf(subnetKey(outer, length));
        if (owner === undefined || owner === id) continue;
        const inner = subnetText(subnet.words, subnet.length);
        throw new RipstopError(
          'EOVERLAP',
          `${inner} of peer ${id} lies within ${subnetText(outer, length)} of peer ${owner}`,
          'give each peer subnets of its own',
        );
      }
    }
  }
}

/** Prefix lengths of one family that occur, shortest first. */
function lengthsOf(peers: readonly Claims[], family: 4 | 6): number[] {
  const lengths = new Set<number>();
  for (const { subnets } of peers)
    for (const { what } of subnets) if (what.family === family) lengths.add(what.length);
  return [...lengths].sort((a, b) => a - b);
}
