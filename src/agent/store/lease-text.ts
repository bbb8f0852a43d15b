import { RipstopError, toError } from '../../base/errors.ts';
import { type Field, fail, parseJson, readAs, readKnown } from '../../base/schema.ts';
import { attributesJson, LEASE_MAX, type Lease, parseKey, readAttributes, tooLarge } from '../lease/lease.ts';
import { TOO_LARGE } from './lease-file.ts';

/* A lease as the file store writes it: flannel's attributes, with its end and its age. */

/** Wall clock in ms. */
const time: Field<number> = {
  type: 'an ISO time',
  doc: '',
  read(raw, where) {
    const ms = typeof raw === 'string' ? Date.parse(raw) : Number.NaN;
    return Number.isNaN(ms) ? fail(where, `${JSON.stringify(raw)} is not an ISO time`) : ms;
  },
};

/** Keys of a lease besides its attributes. */
const TIMES = { Expires: time, Since: time };

/** The lease of a text, or what is wrong with it. @param where for messages */
export function readLease(where: string, key: string, text: string): Lease | Error {
  try {
    const subnets = parseKey(key);
    if (!subnets) throw new RipstopError('ELEASE', `${where} is not a subnet`);
    if (text === TOO_LARGE) throw tooLarge(where, 'more');
    if (text.length > LEASE_MAX) throw tooLarge(where, text.length);
    const raw = readAs('ELEASE', () => parseJson(text, where));
    const { Expires, Since } = readAs('ELEASE', () => readKnown(TIMES, raw, where));
    return {
      ...subnets,
      key,
      attributes: readAttributes(raw, where),
      expiresAt: Expires ?? 0,
      node: undefined,
      since: Since,
    };
  } catch (error) {
    return toError(error);
  }
}

/** The value to write. @param now start of a new lease, ms */
export function leaseJson({ attributes, since, expiresAt }: Lease, now: number): object {
  return {
    ...attributesJson(attributes),
    Since: new Date(since ?? now).toISOString(),
    ...(expiresAt ? { Expires: new Date(expiresAt).toISOString() } : {}),
  };
}
