import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { ResolvedSettings } from './config/settings.ts';
import type { InputResolver } from './inputs/resolve.ts';
import type { LeaseClient } from './lease/client.ts';
import type { LeaseStore } from './lease/store.ts';
import type { Network } from './overlay/network.ts';

/** What the agent lets its configuration do. */
export interface ConfiguredAgent {
  readonly store: LeaseStore;
  readonly resolver: InputResolver;
  readonly lease: LeaseClient;
  readonly log: Log;
  network(): Network | undefined;
  /** Starts the network again. `change` tells one change from the next. */
  restart(why: string, change: string): void;
  warn(message: string): void;
}

/** Takes up changes of the network configuration: into the running network where it allows that, else by a restart of it. */
export class ConfigWatch {
  readonly #agent: ConfiguredAgent;

  constructor(agent: ConfiguredAgent) {
    this.#agent = agent;
  }

  /** Reads the configuration again (SIGHUP). A configuration with a fault changes nothing. */
  async reload(): Promise<void> {
    const { store, log } = this.#agent;
    log.info('reading the configuration again');
    try {
      await store.reload?.();
      this.changed((await store.networkConfig()).text);
      log.info({ leases: store.leases?.size }, 'configuration read again');
    } catch (error) {
      log.error(`keeping the current configuration: ${describeError(error)}`);
    }
  }

  /** The store has the configuration with this text. */
  changed(text: string): void {
    const { store, resolver, lease: client, log } = this.#agent;
    if (text === resolver.config?.text) return;
    const network = this.#agent.network();
    const { lease } = client;
    try {
      const config = resolver.parse(text);
      if (!network || !lease) {
        this.#agent.restart('the network configuration changed', text);
        return;
      }
      const present = network.inputs.settings;
      const settings = resolver.settings(config);
      if (!network.isCompatibleWith(config, settings, store.allocates)) {
        const changes = settings.changesFrom(present);
        const what = changes.length > 0 ? `: ${changes.join('; ')}` : '';
        this.#agent.restart(`the network configuration changed${what}`, text);
        return;
      }
      this.noteFaults(settings);
      resolver.follow(text);
      client.hold(config, lease);
      log.info('the network configuration changed; traffic is not interrupted');
      void network.applyConfig(config, settings);
    } catch (error) {
      log.error(`the new network configuration is not used: ${describeError(error)}`);
      this.#agent.warn(describeError(error));
    }
  }

  /** Names the settings of the cluster that are wrong. They do not stop the node: the present values stay. */
  noteFaults({ faults }: ResolvedSettings): void {
    for (const message of faults) {
      this.#agent.log.error(`keeping the present setting: ${message}`);
      this.#agent.warn(message);
    }
  }
}
