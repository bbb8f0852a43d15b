import { type Address, bitsOf, type Family } from '../../ip/address.ts';
import { contains, networkOf, nth, type Prefix } from '../../ip/prefix.ts';

interface Bucket<T> {
  readonly family: Family;
  readonly length: number;
  /** Owners by the number of the network, see `networkNumber`. */
  readonly owners: Map<bigint, T[]>;
}

/** A prefix with its owner. */
export interface OwnedPrefix<T> {
  readonly prefix: Prefix;
  readonly owner: T;
}

/** Prefixes with their owners, for questions about nesting: one look per prefix length in use, not one per prefix. */
export class PrefixIndex<T> {
  readonly #buckets = new Map<number, Bucket<T>>();

  add({ family, value, length }: Prefix, owner: T): void {
    let bucket = this.#buckets.get(bucketOf(family, length));
    if (!bucket) {
      bucket = { family, length, owners: new Map() };
      this.#buckets.set(bucketOf(family, length), bucket);
    }
    const number = networkNumber(family, value, length);
    const owners = bucket.owners.get(number);
    if (owners) owners.push(owner);
    else bucket.owners.set(number, [owner]);
  }

  delete({ family, value, length }: Prefix, owner: T): void {
    const bucket = this.#buckets.get(bucketOf(family, length));
    const number = networkNumber(family, value, length);
    const owners = bucket?.owners.get(number);
    const at = owners?.indexOf(owner) ?? -1;
    if (!bucket || !owners || at < 0) return;
    owners.splice(at, 1);
    if (owners.length === 0) bucket.owners.delete(number);
    if (bucket.owners.size === 0) this.#buckets.delete(bucketOf(family, length));
  }

  /** The prefixes that contain `inner`, an address or a prefix; one that equals it is among them. */
  containing(inner: Address | Prefix): OwnedPrefix<T>[] {
    const { family, value } = inner;
    const innerLength = 'length' in inner ? inner.length : bitsOf(family);
    const found: OwnedPrefix<T>[] = [];
    for (const { family: bucketFamily, length, owners } of this.#buckets.values()) {
      if (bucketFamily !== family || length > innerLength) continue;
      const prefix = networkOf({ family, value, length });
      for (const owner of owners.get(networkNumber(family, value, length)) ?? [])
        found.push({ prefix, owner });
    }
    return found;
  }

  /** Owners of the prefixes that begin at the address of `prefix` and are as long or longer. */
  beginningAt(prefix: Prefix): T[] {
    const found: T[] = [];
    for (const { family, length, owners } of this.#buckets.values())
      if (family === prefix.family && length >= prefix.length)
        found.push(...(owners.get(networkNumber(family, prefix.value, length)) ?? []));
    return found;
  }
}

const bucketOf = (family: Family, length: number): number => family * 1000 + length;

/**
 * The prefix without its host bits, as the key of a map. V8 hashes the lowest 64 bits of a number only: as whole
 * addresses, all IPv6 subnets of /64 or less would have one hash, and each look would walk over all of them.
 */
const networkNumber = (family: Family, value: bigint, length: number): bigint =>
  value >> BigInt(bitsOf(family) - length);

/** An address with its owner. */
export interface OwnedAddress<T> {
  readonly address: Address;
  readonly owner: T;
}

/** Addresses with their owners in the order of their values: what lies within a prefix is found by bisection. */
export class AddressList<T> {
  readonly #entries: Record<Family, OwnedAddress<T>[]> = { 4: [], 6: [] };

  add({ family, value }: Address, owner: T): void {
    this.#entries[family].splice(this.#first(family, value), 0, { address: { family, value }, owner });
  }

  delete({ family, value }: Address, owner: T): void {
    const entries = this.#entries[family];
    for (let at = this.#first(family, value); entries[at]?.address.value === value; at++) {
      if (entries[at]?.owner !== owner) continue;
      entries.splice(at, 1);
      return;
    }
  }

  /** The first address within `prefix`. */
  firstWithin(prefix: Prefix): OwnedAddress<T> | undefined {
    const { family } = prefix;
    const entry = this.#entries[family][this.#first(family, nth(prefix, 0n).value)];
    return entry && contains(prefix, entry.address) ? entry : undefined;
  }

  /** Place of the first address that is not below `value`. */
  #first(family: Family, value: bigint): number {
    const entries = this.#entries[family];
    let from = 0;
    let to = entries.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const entry = entries[middle];
      if (entry && entry.address.value < value) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
