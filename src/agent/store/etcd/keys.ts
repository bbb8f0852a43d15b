import type { RawKeyValue } from './protocol.ts';

/** Bytes of a value that is read. A lease has about 200, a configuration about 1000. */
const VALUE_MAX = 64 * 1024;
/** Characters of a name below the prefix. The longest of a lease has 60. */
const NAME_MAX = 200;

/** One key with its value. */
export interface KeyValue {
  readonly key: Buffer;
  /** Empty where `omitted` is set. */
  readonly value: Buffer;
  /** Number of bytes of a value that is too large to be read. */
  readonly omitted: number | undefined;
  readonly createRevision: string;
  readonly modRevision: string;
  /** Lease id, `0` for a key that never ends. */
  readonly lease: string;
}

/** Keys from `from` up to `end`; without `end` the one key `from`. */
export interface KeyRange {
  readonly from: Buffer;
  readonly end: Buffer;
}

export function oneKey(key: string): KeyRange {
  return { from: Buffer.from(key), end: Buffer.alloc(0) };
}

/** All keys that begin with `prefix`, which ends in '/': up to the first key after them. */
export function allBelow(prefix: string): KeyRange {
  const from = Buffer.from(prefix);
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return { from, end };
}

/** A copy of what is of use: the buffers of an answer are parts of the whole answer, which they would keep in memory. */
export function bounded({ key, value, createRevision, modRevision, lease }: RawKeyValue): KeyValue {
  const isLarge = value.length > VALUE_MAX;
  return {
    key: Buffer.from(key),
    value: isLarge ? Buffer.alloc(0) : Buffer.from(value),
    omitted: isLarge ? value.length : undefined,
    createRevision,
    modRevision,
    lease,
  };
}

/** Name of a key below a prefix; a long one, which is none of ours, is cut. */
export function nameBelow(prefix: string, { key }: Pick<KeyValue, 'key'>): string {
  const name = key.subarray(Buffer.byteLength(prefix), Buffer.byteLength(prefix) + 4 * NAME_MAX).toString();
  return name.length <= NAME_MAX ? name : `${name.slice(0, NAME_MAX)}…`;
}
