import { pause } from '../base/backoff.ts';
import { hasCode } from '../base/errors.ts';
import type { Network } from './overlay/network.ts';

/** Interval of the attempts to open a device or port that another process has, ms. */
const RETRY_MS = 10;
/** How long they go on before the inputs are read again, ms. */
export const TAKEOVER_MS = 10_000;

interface Taker {
  readonly signal: AbortSignal;
  /** The peers are known. */
  hasPeers(): boolean;
  /** Another process may end: the attempts go on. */
  mayWait(): boolean;
  /** An attempt failed, and another one follows. */
  failed(error: unknown): void;
}

/**
 * Opens devices and ports of a network that is prepared, and waits for those that another process has: when flanneld's
 * udp backend ends, nothing is left to do but to open them. After a failure the network is stopped.
 * @throws RipstopError
 */
export async function takeOver(network: Network, taker: Taker): Promise<void> {
  const end = performance.now() + TAKEOVER_MS;
  for (;;)
    try {
      network.open(taker.hasPeers());
      return;
    } catch (error) {
      const isBusy = hasCode(error, 'EINUSE');
      if (!isBusy || !taker.mayWait() || taker.signal.aborted || performance.now() >= end) {
        await network.stop();
        throw error;
      }
      taker.failed(error);
      await pause(RETRY_MS, taker.signal);
    }
}
