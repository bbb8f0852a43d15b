import { describeError, RipstopError } from '../../base/errors.ts';
import { shorten } from '../../base/text/shorten.ts';
import type { StoreObserver } from '../lease/store.ts';

/** Characters of a fault that are kept: the entry may be of any size. */
const TEXT_MAX = 300;
/** Entries whose faults are kept. */
const ENTRIES_MAX = 1000;

/** Entries of a store that are not leases: the fault of each, by key, for the first thousand. */
export class Unreadable extends Map<string, string> {
  /** Notes an entry, and reports it to the observer unless the same fault was reported for it before. */
  note(key: string, error: unknown, observer: StoreObserver | undefined): void {
    const text = shorten(describeError(error), TEXT_MAX);
    const known = this.get(key);
    if (known === text || (known === undefined && this.size >= ENTRIES_MAX)) return;
    this.set(key, text);
    observer?.malformed(new RipstopError('ELEASE', text));
  }

  /** Forgets the entries whose keys `isThere` does not confirm. */
  keep(isThere: (key: string) => boolean): void {
    for (const key of [...this.keys()]) if (!isThere(key)) this.delete(key);
  }
}
