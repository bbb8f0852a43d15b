import { describeError, hasCode } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { LeaseClient } from '../lease/client.ts';
import type { StoreWatch } from '../store/store-watch.ts';
import type { InputResolver, NetworkInputs, SavedInputs } from './resolve.ts';

/** Failures of the store after which a start uses the saved state. */
const MAX_FAILURES = 2;

/** What `InputSource` needs of the agent. */
export interface StartingAgent {
  readonly resolver: InputResolver;
  readonly lease: LeaseClient;
  readonly watch: StoreWatch;
  readonly log: Log;
}

/**
 * Where the inputs of the next network come from. A process that starts uses the saved state of the previous run, and the
 * store confirms it later; after some failures the saved state also replaces a store that is unreachable.
 */
export class InputSource {
  /** True while the inputs are saved ones that the store has not confirmed. */
  isProvisional = false;
  /** Keys of leases that contradict those of peers. */
  refused: ReadonlySet<string> = new Set();
  readonly #agent: StartingAgent;

  constructor(agent: StartingAgent) {
    this.#agent = agent;
  }

  /** @param failures of this start until now @throws RipstopError */
  async next(failures: number): Promise<NetworkInputs> {
    const { resolver, lease, watch } = this.#agent;
    const isFirst = !watch.isFollowing && failures === 0;
    const former = isFirst ? await resolver.loadSaved() : undefined;
    if (former) return this.#startFromSaved(former, 'starting from the saved state of the previous run');
    try {
      const inputs = await resolver.fromStore(lease);
      watch.rememberListed();
      watch.reached();
      this.isProvisional = false;
      return inputs;
    } catch (error) {
      if (!hasCode(error, 'ESTORE')) throw error;
      watch.unreachable();
      const known = failures >= MAX_FAILURES ? await resolver.saved() : undefined;
      if (!known) throw error;
      return this.#startFromSaved(known, `starting from the saved state: ${describeError(error)}`);
    }
  }

  #startFromSaved({ inputs, leases, refused, kept }: SavedInputs, why: string): NetworkInputs {
    const { watch, log } = this.#agent;
    log.info({ lease: inputs.lease.key }, why);
    if (!watch.leases) {
      this.refused = refused;
      watch.remember(leases, kept);
    }
    this.isProvisional = true;
    return inputs;
  }
}
