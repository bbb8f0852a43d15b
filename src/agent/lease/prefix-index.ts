import { bitsOf, type Cidr, contains, type Family, networkOf } from './cidr.ts';

interface Bucket<T> {
  readonly family: Family;
  readonly length: number;
  /** Owners by network address. */
  readonly owners: Map<bigint, T[]>;
}

/** A prefix with its owner. */
export interface OwnedPrefix<T> {
  readonly cidr: Cidr;
  readonly owner: T;
}

/** Prefixes with their owners, for questions about nesting: one look per prefix length in use, not one per prefix. */
export class PrefixIndex<T> {
  readonly #buckets = new Map<number, Bucket<T>>();

  add({ family, value, length }: Cidr, owner: T): void {
    let bucket = this.#buckets.get(bucketOf(family, length));
    if (!bucket) {
      bucket = { family, length, owners: new Map() };
      this.#buckets.set(bucketOf(family, length), bucket);
    }
    const owners = bucket.owners.get(value);
    if (owners) owners.push(owner);
    else bucket.owners.set(value, [owner]);
  }

  delete({ family, value, length }: Cidr, owner: T): void {
    const bucket = this.#buckets.get(bucketOf(family, length));
    const owners = bucket?.owners.get(value);
    const at = owners?.indexOf(owner) ?? -1;
    if (!bucket || !owners || at < 0) return;
    owners.splice(at, 1);
    if (owners.length === 0) bucket.owners.delete(value);
    if (bucket.owners.size === 0) this.#buckets.delete(bucketOf(family, length));
  }

  /** The prefixes that equal `cidr` or contain it. */
  containing(cidr: Cidr): OwnedPrefix<T>[] {
    const found: OwnedPrefix<T>[] = [];
    for (const { family, length, owners } of this.#buckets.values()) {
      if (family !== cidr.family || length > cidr.length) continue;
      const outer = networkOf({ ...cidr, length });
      for (const owner of owners.get(outer.value) ?? []) found.push({ cidr: outer, owner });
    }
    return found;
  }

  /** Owners of the prefixes that begin at the address of `cidr` and are as long or longer. */
  beginningAt(cidr: Cidr): T[] {
    const found: T[] = [];
    for (const { family, length, owners } of this.#buckets.values())
      if (family === cidr.family && length >= cidr.length) found.push(...(owners.get(cidr.value) ?? []));
    return found;
  }
}

const bucketOf = (family: Family, length: number): number => family * 1000 + length;

/** Addresses with their owners in the order of their values: what lies within a prefix is found by bisection. */
export class AddressList<T> {
  readonly #values: Record<Family, bigint[]> = { 4: [], 6: [] };
  readonly #owners: Record<Family, T[]> = { 4: [], 6: [] };

  add({ family, value }: Cidr, owner: T): void {
    const at = this.#first(family, value);
    this.#values[family].splice(at, 0, value);
    this.#owners[family].splice(at, 0, owner);
  }

  delete({ family, value }: Cidr, owner: T): void {
    const values = this.#values[family];
    const owners = this.#owners[family];
    for (let at = this.#first(family, value); at < values.length && values[at] === value; at++) {
      if (owners[at] !== owner) continue;
      values.splice(at, 1);
      owners.splice(at, 1);
      return;
    }
  }

  /** The first address within `cidr`. */
  firstWithin(cidr: Cidr): OwnedPrefix<T> | undefined {
    const { family } = cidr;
    const at = this.#first(family, networkOf(cidr).value);
    const value = this.#values[family][at];
    if (value === undefined) return undefined;
    const address: Cidr = { family, value, length: bitsOf(family) };
    return contains(cidr, address) ? { cidr: address, owner: this.#owners[family][at]! } : undefined;
  }

  /** Place of the first value that is not below `value`. */
  #first(family: Family, value: bigint): number {
    const values = this.#values[family];
    let from = 0;
    let to = values.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (values[middle]! < value) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** The two halves of a prefix. */
export function halvesOf({ family, value, length }: Cidr): readonly [Cidr, Cidr] {
  const size = 1n << BigInt(bitsOf(family) - length - 1);
  return [
    { family, value, length: length + 1 },
    { family, value: value + size, length: length + 1 },
  ];
}
