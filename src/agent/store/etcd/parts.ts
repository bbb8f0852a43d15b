import type { EtcdClient, KeyList } from './client.ts';
import { isDenied } from './errors.ts';
import type { KeyRange } from './keys.ts';

/** A part of the keys below the prefix that is read and watched as a whole. */
export interface KeyPart {
  readonly range: KeyRange;
  /** The node works without it where the role has no right to it. */
  readonly isOptional: boolean;
}

/** Parts of the keys at one revision. */
export interface PartsList extends KeyList {
  /** Optional parts that the role may not read. */
  readonly denied: ReadonlySet<KeyPart>;
}

/** Lists parts, all at one revision. */
export async function listParts(client: EtcdClient, parts: readonly KeyPart[]): Promise<PartsList> {
  const lists: KeyList[] = [];
  const denied = new Set<KeyPart>();
  for (const part of parts) {
    try {
      lists.push(await client.list(part.range, lists[0]?.revision));
    } catch (error) {
      if (!part.isOptional || !isDenied(error)) throw error;
      denied.add(part);
    }
  }
  const [first] = lists;
  if (!first) throw new RangeError('bug: no part of the keys is required');
  return { ...first, kvs: lists.flatMap(({ kvs }) => kvs), denied };
}
