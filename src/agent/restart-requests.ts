import type { Log } from '../base/log.ts';

/** Requests to plan the network again; it restarts unless the present one has the new inputs. */
export class RestartRequests {
  readonly #log: Log;
  /** Why the network must be planned again, and the last change that was requested, so that none is requested twice. */
  #wanted: string | undefined;
  #requested: string | undefined;
  #wake: (() => void) | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Each `change` is acted on once, until `settled`. */
  request(why: string, change = why): void {
    if (this.has(change)) return;
    this.#requested = change;
    this.#log.info(`planning the overlay again: ${why}`);
    this.#wanted = why;
    this.wake();
  }

  /** True when this is the last change that was requested. */
  has(change: string): boolean {
    return this.#requested === change;
  }

  /** The network has the newest inputs: the same change is a new one from now on. */
  settled(): void {
    this.#requested = undefined;
  }

  get isPending(): boolean {
    return this.#wanted !== undefined;
  }

  /** The reason of the pending request, which is taken up now. */
  take(): string | undefined {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    return wanted;
  }

  /** Resolves when there is a request, or by `wake`. */
  async wait(signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      this.#wake = resolve;
      // Requested while the network was being started.
      if (this.isPending || signal.aborted) resolve();
    });
    this.#wake = undefined;
  }

  /** Ends `wait`. */
  wake(): void {
    this.#wake?.();
  }
}
