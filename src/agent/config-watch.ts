import { describeError, RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { NetworkConfig } from './config/net-conf.ts';
import { type Neighbourhood, reasonToWait } from './config/pending-change.ts';
import type { ResolvedSettings } from './config/settings.ts';
import type { InputResolver, NetworkInputs } from './inputs/resolve.ts';
import { isWithinRanges } from './lease/allocate.ts';
import type { LeaseClient } from './lease/client.ts';
import type { LeaseStore } from './lease/store.ts';
import type { Network } from './overlay/network.ts';

/** A start of a network reads its inputs, the configuration among them, and opens what they describe. */
export type StartStep = 'reading' | 'opening';

/** What `ConfigWatch` needs of the agent. */
export interface ConfiguredAgent {
  readonly store: LeaseStore;
  readonly resolver: InputResolver;
  readonly lease: LeaseClient;
  readonly log: Log;
  network(): Network | undefined;
  /** Undefined while no start of a network is under way. */
  startStep(): StartStep | undefined;
  /** Undefined while there is no network, or no lease. */
  neighbourhood(): Neighbourhood | undefined;
  /** Starts the network again. `change` distinguishes one change from the next. */
  restart(why: string, change: string): void;
  /** The network continues under a new configuration, or with leases that were read together with it. */
  takenUp(): void;
  warn(message: string): void;
}

/**
 * Applies changes of the network configuration: to the running network where that is possible, otherwise by a restart of
 * the network. A configuration that this node cannot follow changes nothing.
 */
export class ConfigWatch {
  readonly #agent: ConfiguredAgent;
  /** The configuration that this node cannot follow, and why. `text` is undefined for one that a person must reload. */
  #refused: { readonly text: string | undefined; readonly reason: string } | undefined;
  #loggedFaults = '';
  /** A change that waits for the other nodes, and why. */
  #waiting: { readonly text: string; readonly reason: string } | undefined;
  /** The last change that did not have to wait. */
  #accepted: string | undefined;
  /** This process has taken up a configuration of the store: until then, it starts with what the store has. */
  #hasStarted = false;

  constructor(agent: ConfiguredAgent) {
    this.#agent = agent;
  }

  /** Why this node does not follow the newest configuration. */
  get fault(): string | undefined {
    return this.#refused?.reason;
  }

  /** Why this node has not taken up the newest configuration yet, which it could. */
  get waiting(): string | undefined {
    return this.#waiting?.reason;
  }

  /** Reads the configuration again (SIGHUP). */
  async reload(): Promise<void> {
    const { store, log } = this.#agent;
    log.info('reading the configuration again');
    // A person reloads: a reason that was logged before is logged again.
    this.#refused = undefined;
    try {
      await store.reload?.(config => void this.#resolve(config));
      this.changed((await store.networkConfig()).text, true);
      if (this.fault === undefined) log.info({ leases: store.leases?.size }, 'configuration read again');
    } catch (error) {
      this.#refuse(error, undefined);
    }
  }

  /** Tries a configuration again that this node could not follow: the node may have changed since. */
  retry(): void {
    const text = this.#refused?.text ?? this.#waiting?.text;
    if (text !== undefined) this.changed(text);
  }

  /** True when a configuration waits for the other nodes; the present one stays in force meanwhile. */
  holds(config: NetworkConfig, text: string): boolean {
    const reason = this.#reasonToWait(config, text);
    const isNews = this.#waiting?.text !== text;
    this.#waiting = reason === undefined ? undefined : { text, reason };
    if (reason === undefined) this.#accepted = text;
    else if (isNews) {
      this.#agent.log.warn(reason);
      this.#agent.warn(reason);
    }
    return reason !== undefined;
  }

  #reasonToWait(config: NetworkConfig, text: string): string | undefined {
    const { store } = this.#agent;
    const present = this.#agent.network()?.inputs.config;
    const neighbourhood = this.#agent.neighbourhood();
    // A person reloads a static file.
    const isFree = !this.#hasStarted || text === this.#accepted || store.parseConfig !== undefined;
    return isFree || !present || !neighbourhood ? undefined : reasonToWait(present, config, neighbourhood);
  }

  /**
   * The store has the configuration with this text; undefined: it was deleted.
   * @param isAsked a person asked for it: a change does not wait
   */
  changed(text: string | undefined, isAsked = false): void {
    const { store, resolver, lease: client, log } = this.#agent;
    if (text === undefined) {
      this.#refuse(deleted(resolver.config?.source ?? store.location), undefined);
      return;
    }
    if (isAsked) this.#hasStarted = false;
    const step = this.#agent.startStep();
    // The start that is under way may have read another text; the present network does not take up what it will not have.
    if (step === 'reading' || (step === 'opening' && text !== resolver.config?.text)) {
      this.#agent.restart('the network configuration changed while the overlay was being started', text);
      return;
    }
    try {
      if (text !== resolver.config?.text) {
        const config = resolver.parse(text);
        const inputs = this.#resolve(config);
        if (this.holds(config, text)) {
          this.#refused = undefined;
          return;
        }
        const network = this.#agent.network();
        const isRestart =
          !network ||
          !inputs ||
          !network.isCompatibleWith(inputs) ||
          (store.allocates && !isWithinRanges(config, inputs.lease));
        if (isRestart) {
          const changes = network && inputs ? inputs.settings.changesFrom(network.inputs.settings) : [];
          const what = changes.length > 0 ? `: ${changes.join('; ')}` : '';
          this.#refused = undefined;
          this.#agent.restart(`the network configuration changed${what}`, text);
          return;
        }
        this.#logFaults(inputs.settings);
        resolver.follow(text, inputs);
        client.hold(config, inputs.lease);
        log.info('the network configuration changed; traffic is not interrupted');
        void network.takeUp(inputs);
      }
      this.#refused = undefined;
      this.#waiting = undefined;
      this.#agent.takenUp();
    } catch (error) {
      this.#refuse(error, text);
    } finally {
      this.#hasStarted = true;
    }
  }

  /** The inputs of the running network under a configuration; undefined without a network. @throws RipstopError */
  #resolve(config: NetworkConfig): NetworkInputs | undefined {
    const { resolver, lease: client } = this.#agent;
    const present = this.#agent.network()?.inputs;
    return present && client.lease && resolver.under(config, { ...present, lease: client.lease });
  }

  #refuse(error: unknown, text: string | undefined): void {
    const reason = describeError(error);
    const isNews = this.#refused?.reason !== reason;
    this.#refused = { text, reason };
    if (!isNews) return;
    this.#agent.log.error(`keeping the current configuration: ${reason}`);
    this.#agent.warn(reason);
  }

  /**
   * The agent has the inputs of its next network: reports what they leave out of the newest configuration.
   * @param isConfirmed they are those of the store, not saved ones
   */
  resolved({ settings }: NetworkInputs, isConfirmed: boolean): void {
    if (isConfirmed) this.#hasStarted = true;
    this.#logFaults(settings);
    const { refused } = this.#agent.resolver;
    if (refused) this.#refuse(refused.error, refused.text);
    else if (isConfirmed) this.#refused = undefined;
  }

  /** Names the wrong settings of the cluster, once. They do not stop the node: the present values stay. */
  #logFaults({ faults }: ResolvedSettings): void {
    const text = faults.join('\n');
    if (text === this.#loggedFaults) return;
    this.#loggedFaults = text;
    for (const message of faults) {
      this.#agent.log.error(`keeping the present setting: ${message}`);
      this.#agent.warn(message);
    }
  }
}

function deleted(source: string): RipstopError {
  return new RipstopError(
    'ECONFIG',
    `${source} was deleted`,
    'write it again: no agent can start without it',
  );
}
