import { describeError, toError } from '../../base/errors.ts';
import type { StoreObserver } from '../lease/store.ts';

/** Characters of a fault that are kept: the entry may be of any size. */
const TEXT_MAX = 300;

/** Entries of a store that are not leases: the fault of each, by key. */
export class Unreadable extends Map<string, string> {
  /** Notes an entry, and reports it to the observer unless the same fault was reported for it before. */
  note(key: string, error: unknown, observer: StoreObserver | undefined): void {
    const text = describeError(error).slice(0, TEXT_MAX);
    if (this.get(key) !== text) observer?.malformed(toError(error));
    this.set(key, text);
  }

  /** Forgets the entries whose keys `isThere` does not confirm. */
  keep(isThere: (key: string) => boolean): void {
    for (const key of [...this.keys()]) if (!isThere(key)) this.delete(key);
  }
}
