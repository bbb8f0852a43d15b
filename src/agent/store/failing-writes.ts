import { describeError, RipstopError } from '../../base/errors.ts';
import { shorten } from '../../base/text/shorten.ts';
import type { StoreObserver } from '../lease/store.ts';

const TEXT_MAX = 300;

/** Writes to a store that do not hold at the moment, by what they write, with the reason. Each change is reported once. */
export class FailingWrites extends Map<string, string> {
  readonly #observer: () => StoreObserver | undefined;

  constructor(observer: () => StoreObserver | undefined) {
    super();
    this.#observer = observer;
  }

  failed(what: string, error: unknown): void {
    const text = shorten(describeError(error), TEXT_MAX);
    if (this.get(what) === text) return;
    this.set(what, text);
    this.#observer()?.retrying?.(new RipstopError('ESTORE', `cannot write the ${what}: ${text}`));
  }

  worked(what: string): void {
    if (this.delete(what)) this.#observer()?.wrote?.(what);
  }
}
