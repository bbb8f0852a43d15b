import { RipstopError } from '../../base/errors.ts';
import { formatPrefix, type Prefix } from '../../ip/prefix.ts';
import type { Peer } from '../descriptor/peer.ts';
import type { TableCapacity } from './capacity.ts';

/** Entries of the tables that some peers take. */
export interface TableNeeds {
  readonly peers: number;
  readonly macs: number;
  readonly prefixes: number;
}

/**
 * Which peer has which address, MAC and prefix. The selection among the leases gives nothing to two peers; if it did, the
 * removal of one of them would take the entry of the other out of the tables, so this is asserted here.
 */
export class UniqueIndex {
  readonly #owners = new Map<string, string>();
  /** What each peer has, by its id. */
  readonly #keys = new Map<string, readonly string[]>();
  #macs = 0;
  readonly #prefixes = { 4: 0, 6: 0 };

  get needs(): TableNeeds {
    return {
      peers: this.#keys.size,
      macs: this.#macs,
      prefixes: Math.max(this.#prefixes[4], this.#prefixes[6]),
    };
  }

  /** Notes what a peer has; it has nothing so far. @throws Error (a bug) when another has some of it; nothing is noted then */
  add(peer: Peer): void {
    const keys = keysOf(peer);
    for (const key of keys) {
      const owner = this.#owners.get(key);
      if (owner !== undefined)
        throw new Error(`bug: peers ${owner} and ${peer.id} both have the ${nameOf(key, peer)}`);
    }
    for (const key of keys) this.#owners.set(key, peer.id);
    this.#keys.set(peer.id, keys);
    this.#count(peer, 1);
  }

  /** Forgets what a peer has. */
  remove(peer: Peer): void {
    for (const key of this.#keys.get(peer.id) ?? []) this.#owners.delete(key);
    this.#keys.delete(peer.id);
    this.#count(peer, -1);
  }

  #count({ mac, subnets }: Peer, sign: 1 | -1): void {
    if (mac !== undefined) this.#macs += sign;
    for (const { family } of subnets) this.#prefixes[family] += sign;
  }
}

function keysOf({ address, mac, subnets }: Peer): string[] {
  const keys = [`address ${address}`];
  if (mac !== undefined) keys.push(`MAC ${mac}`);
  for (const subnet of subnets) keys.push(keyOf(subnet));
  return keys;
}

/** Cheaper than the text of the prefix. */
function keyOf({ family, value, length }: Prefix): string {
  return `${family} ${value}/${length}`;
}

function nameOf(key: string, { subnets }: Peer): string {
  const subnet = subnets.find(each => keyOf(each) === key);
  return subnet ? `subnet ${formatPrefix(subnet)}` : key;
}

/** @throws RipstopError ECAPACITY (names the key) */
export function checkRoom(needs: TableNeeds, capacity: TableCapacity): void {
  for (const key of ['peers', 'macs', 'prefixes'] as const)
    if (needs[key] > capacity[key])
      throw new RipstopError(
        'ECAPACITY',
        `the tables hold ${capacity[key]} ${key} and ${needs[key]} are wanted`,
        `raise capacity.${key} to ${needs[key]} or more`,
      );
}
