import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, hasCode, RipstopError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { checkDriver } from '../../dataplane/open-descriptors.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { type NetworkConfig, parseNetConf } from '../config/net-conf.ts';
import { type ResolvedSettings, resolveSettings } from '../config/settings.ts';
import { readSubnetEnv } from '../config/subnet-env.ts';
import type { LeaseClient } from '../lease/client.ts';
import { type Lease, type LeaseAttributes, sameAttributes } from '../lease/lease.ts';
import type { KeptLeases, LeaseStore, NodeOverrides } from '../lease/store.ts';
import { vtepMac } from '../store/static/vtep-mac.ts';
import type { Checkpoint, ConfigText } from './checkpoint.ts';
import { deviceMacs, linkSnapshot } from './link-snapshot.ts';
import type { AgentOptions } from './options.ts';
import { isCarriedHere, leaseAttributes, type PlanInputs, planOverlays, type VtepMacs } from './plan.ts';
import type { StateDir } from './state-dir.ts';
import type { Underlay, UnderlayLink } from './underlay.ts';
import { UnderlayChooser } from './underlay-chooser.ts';
import { refuseOnUnderlay, underlaySubnets } from './underlay-subnets.ts';

/** How long a start waits for the store to object to what is remembered, ms: one that is slower confirms it later. */
const OBJECTION_MS = 1500;

/** What a network is built from; when one of these changes, the network is started again. */
export interface NetworkInputs extends PlanInputs {
  readonly settings: ResolvedSettings;
}

/** Inputs that the store has not confirmed, and the leases that were known with it. */
export interface SavedInputs {
  readonly inputs: NetworkInputs;
  readonly leases: ReadonlyMap<string, Lease>;
  /** Keys of leases that contradicted those of known peers. */
  readonly refused: ReadonlySet<string>;
  readonly kept: KeptLeases | undefined;
}

/** Resolves the inputs of a network from flags, store and kernel, or from the saved state while the store is unreachable. */
export class InputResolver {
  readonly #options: AgentOptions;
  readonly #store: LeaseStore;
  readonly #stateDir: StateDir;
  readonly #socket: NetlinkSocket;
  readonly #holder: LeaseClient;
  readonly #log: Log;
  readonly #chooser: UnderlayChooser;
  #config: ConfigText | undefined;
  #overrides: NodeOverrides = {};
  #settings: ResolvedSettings | undefined;

  constructor(
    options: AgentOptions,
    store: LeaseStore,
    memory: StateDir,
    socket: NetlinkSocket,
    holder: LeaseClient,
    log: Log,
  ) {
    this.#options = options;
    this.#store = store;
    this.#stateDir = memory;
    this.#socket = socket;
    this.#holder = holder;
    this.#log = log;
    this.#chooser = new UnderlayChooser(options, linkSnapshot(socket));
  }

  /** The network configuration of the last inputs. */
  get config(): ConfigText | undefined {
    return this.#config;
  }

  /** Reads another text of the same source. @throws RipstopError ECONFIG */
  parse(text: string, source = this.#config?.source ?? this.#store.location): NetworkConfig {
    const { tolerateUnknown } = this.#options;
    if (this.#store.parseConfig) return this.#store.parseConfig();
    return parseNetConf(text, source, { ranges: this.#store.allocates, tolerateUnknown });
  }

  /** The network goes on with the inputs that this text gives. */
  follow(text: string, { settings }: NetworkInputs): void {
    this.#config = { text, source: this.#config?.source ?? this.#store.location };
    this.#settings = settings;
  }

  /**
   * The inputs of a running network under another configuration. Changes nothing.
   * @throws RipstopError when this node, as it is now, cannot follow the configuration
   */
  under(config: NetworkConfig, present: NetworkInputs): NetworkInputs {
    const underlay = this.chooseUnderlay(config);
    const settings = settingsUnder(this.#options, config, this.#settings);
    const lease = { ...present.lease, ...config.single?.subnets };
    const macs = derivedMacs(config, underlay) ?? present.macs;
    const inputs = { config, underlay, lease, macs, settings };
    if (planOverlays(inputs).some(plan => isCarriedHere(plan, this.#options.dataPlane))) {
      const { driver, workers } = settings.values;
      checkDriver({ driver, netns: this.#options.netns, queues: workers });
    }
    if (config.single) refuseOnUnderlay(lease, underlaySubnets(this.#socket, underlay.index), underlay.name);
    return inputs;
  }

  /** Asks the store, and takes the lease. @throws RipstopError as the store does, ECONFIG */
  async fromStore(): Promise<NetworkInputs> {
    const source = await this.#store.networkConfig();
    this.#overrides = (await this.#store.overrides?.()) ?? {};
    const { config, underlay, macs, attributes } = await this.#resolveNow(source);
    this.#config = source;
    for (const note of [...config.notes, ...this.#mismatches(config)]) this.#log.info(note);
    const former = await readSubnetEnv(this.#options.subnetFile);
    const previous =
      former?.subnet || former?.subnet6 ? { v4: former.subnet, v6: former.subnet6 } : undefined;
    const avoid = underlaySubnets(this.#socket, underlay.index);
    const lease = await this.#holder.acquire({ config, attributes, previous, avoid });
    this.#log.info({ lease: lease.key, underlay: underlay.name, mtu: underlay.mtu }, 'holding a lease');
    return this.#inputs(config, underlay, lease, macs);
  }

  #inputs(config: NetworkConfig, underlay: Underlay, lease: Lease, macs: VtepMacs): NetworkInputs {
    this.#settings = settingsUnder(this.#options, config, this.#settings);
    return { config, underlay, lease, macs, settings: this.#settings };
  }

  /** What a life before this process stood on; undefined when there was none, or when something has changed since. */
  async loadSaved(): Promise<SavedInputs | undefined> {
    if (this.#store.leases) return undefined;
    const known = await this.#readState();
    if (!known) return undefined;
    try {
      const said = await Promise.race([
        this.#fetchOverrides(),
        sleep(OBJECTION_MS, undefined, { ref: false }),
      ]);
      return !said || isSameNode(said, known.overrides) ? await this.#resolveSaved(known) : undefined;
    } catch {
      // Asking the store meets the same trouble, and says so.
      return undefined;
    }
  }

  /** Whether the store, now that it answers, speaks of another node than what is remembered: it joined another cluster. */
  async storeDisagrees(): Promise<boolean> {
    try {
      const said = await this.#fetchOverrides();
      return said !== undefined && !isSameNode(said, this.#overrides);
    } catch (error) {
      return hasCode(error, 'ENOLEASE');
    }
  }

  /** The last known state, for as long as the store is away. @throws RipstopError ESTORE when this node has changed since */
  async saved(): Promise<SavedInputs | undefined> {
    const known = await this.#readState();
    return known && this.#resolveSaved({ ...known, config: this.#config ?? known.config });
  }

  /** Keeps what is known for the next start. */
  save(
    lease: Lease,
    { leases, kept }: { leases: ReadonlyMap<string, Lease> | undefined; kept: KeptLeases | undefined },
    refused: ReadonlySet<string>,
  ): void {
    if (!this.#config || !leases || this.#store.leases) return;
    const [store, config, overrides] = [this.#store.location, this.#config, this.#overrides];
    const underlay = this.#chooser.history;
    this.#stateDir.save({ store, config, lease, leases, refused, overrides, underlay, kept }, error =>
      this.#log.warn(`cannot save the last known state: ${describeError(error)}`),
    );
  }

  /** The underlay as this node is now. @throws RipstopError EUNDERLAY */
  chooseUnderlay(config: NetworkConfig): Underlay {
    return this.#chooser.choose(config, this.#overrides);
  }

  /** Links of this node with their addresses. */
  links(): readonly UnderlayLink[] {
    return this.#chooser.view.links();
  }

  /** What the store says of this node; undefined where it has nothing to say, or is away. */
  async #fetchOverrides(): Promise<NodeOverrides | undefined> {
    try {
      return await this.#store.overrides?.();
    } catch (error) {
      if (hasCode(error, 'ESTORE')) return undefined;
      throw error;
    }
  }

  async #readState(): Promise<Checkpoint | undefined> {
    const known = await this.#stateDir.load();
    this.#chooser.remember(known?.underlay);
    if (known?.store !== this.#store.location) return undefined;
    return known.lease.expiresAt && known.lease.expiresAt < Date.now() ? undefined : known;
  }

  async #resolveSaved(known: Checkpoint): Promise<SavedInputs> {
    const { config: source, lease, leases, refused = new Set(), overrides, kept } = known;
    this.#config = source;
    this.#overrides = overrides;
    const { config, underlay, macs, attributes } = await this.#resolveNow(source);
    if (!sameAttributes(attributes, lease.attributes))
      throw new RipstopError(
        'ESTORE',
        `${this.#store.location} is away, and this node has changed since it was last there`,
      );
    return {
      inputs: this.#inputs(config, underlay, lease, macs),
      leases,
      refused,
      kept,
    };
  }

  /** Keys that this node's data plane has no use for. */
  #mismatches({ backend }: NetworkConfig): string[] {
    if (backend.type !== 'vxlan' || this.#options.dataPlane === 'kernel') return [];
    const keys = [
      ['GBP', backend.gbp],
      ['Learning', backend.learning],
    ] as const;
    return keys
      .filter(([, isOn]) => isOn)
      .map(([key]) => `Backend.${key} is the kernel's: here it takes --data-plane=kernel`);
  }

  async #savedMacs({ backend }: NetworkConfig): Promise<VtepMacs> {
    const known = { ...deviceMacs(this.#socket, backend), ...this.#overrides };
    return this.#stateDir.macs(known, true, error =>
      this.#log.warn(`the MAC addresses cannot be saved for a restart: ${describeError(error)}`),
    );
  }

  /** What a configuration means on this node as it is now. */
  async #resolveNow({ text, source }: ConfigText): Promise<{
    config: NetworkConfig;
    underlay: Underlay;
    macs: VtepMacs;
    attributes: LeaseAttributes;
  }> {
    const { remoteChecksum } = this.#options;
    const config = this.parse(text, source);
    const underlay = this.chooseUnderlay(config);
    this.#chooser.settle(underlay, config, this.#overrides);
    const { public4 = underlay.address4, public6 = underlay.address6 } = underlay;
    if (config.backend.type === 'host-gw' && (public4 !== underlay.address4 || public6 !== underlay.address6))
      throw new RipstopError(
        'ECONFIG',
        `the public address ${public4 ?? public6} is none of ${underlay.name}: host-gw routes to it, which NAT does not let`,
        'leave out --public-ip, or take vxlan',
      );
    const macs = derivedMacs(config, underlay) ?? (await this.#savedMacs(config));
    return {
      config,
      underlay,
      macs,
      attributes: leaseAttributes(config.backend, underlay, macs, remoteChecksum),
    };
  }
}

/** The settings in force under a configuration. Of a key that it gives wrongly, the present value stays. */
export function settingsUnder(
  { settings: flag, netns }: Pick<AgentOptions, 'settings' | 'netns'>,
  config: NetworkConfig,
  present?: ResolvedSettings,
): ResolvedSettings {
  return resolveSettings(flag, config.settings, present?.given ?? new Map(), ({ driver, workers }) => {
    try {
      checkDriver({ driver, netns, queues: workers });
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  });
}

/** A node of a static file has the MAC that the other nodes derive for it (docs/decisions/0032). */
export function derivedMacs({ single, backend }: NetworkConfig, underlay: Underlay): VtepMacs | undefined {
  if (!single) return undefined;
  const address = underlay.address4 ?? underlay.address6 ?? '';
  const mac = single.mac ?? vtepMac(backend.type === 'vxlan' ? backend.vni : 0, address);
  return { mac4: mac, mac6: mac };
}

function isSameNode(one: NodeOverrides, other: NodeOverrides): boolean {
  return (
    one.publicIp === other.publicIp && one.publicIpv6 === other.publicIpv6 && one.nodeUid === other.nodeUid
  );
}
