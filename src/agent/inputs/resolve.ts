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
import { refuseBusyDevices } from './busy-devices.ts';
import type { Checkpoint, ConfigText } from './checkpoint.ts';
import { deviceMacs, linkSnapshot } from './link-snapshot.ts';
import type { AgentOptions } from './options.ts';
import {
  isModeCarriedHere,
  largeMtu,
  leaseAttributes,
  type PlanInputs,
  planOverlays,
  type VtepMacs,
} from './plan.ts';
import type { StateDir } from './state-dir.ts';
import type { Underlay, UnderlayLink } from './underlay.ts';
import { UnderlayChooser } from './underlay-chooser.ts';
import { refuseOnUnderlay, underlaySubnets } from './underlay-subnets.ts';

/** How long a start waits for the store to reject the saved state, ms; a slower store confirms it later. */
const OBJECTION_MS = 1500;

/** Everything that a network depends on. */
export interface NetworkInputs extends PlanInputs {
  readonly settings: ResolvedSettings;
}

/** Inputs that the store has not confirmed, and the leases that were saved with them. */
export type SavedInputs = Pick<Checkpoint, 'leases' | 'refused' | 'kept'> & {
  readonly inputs: NetworkInputs;
};

/** What a network configuration gives on this node before there is a lease. */
interface Resolved extends Omit<NetworkInputs, 'lease'> {
  readonly attributes: LeaseAttributes;
}

/** What `InputResolver` asks the agent. */
export interface ResolverHost {
  /** True when a configuration of the store must wait, and the present one stays. */
  holds(config: NetworkConfig, text: string): boolean;
  /** Devices that the present network has open. */
  openDevices(): readonly string[];
}

const NO_HOST: ResolverHost = { holds: () => false, openDevices: () => [] };

/** Resolves the inputs of a network from flags, store and kernel, or from the saved state while the store is unreachable. */
export class InputResolver {
  readonly #options: AgentOptions;
  readonly #store: LeaseStore;
  readonly #stateDir: StateDir;
  readonly #socket: NetlinkSocket;
  readonly #log: Log;
  readonly #host: ResolverHost;
  readonly #chooser: UnderlayChooser;
  #config: ConfigText | undefined;
  #overrides: NodeOverrides = {};
  #settings: ResolvedSettings | undefined;
  /** The lease that was logged last, with the underlay that it is for. */
  #loggedLease = '';
  /**
   * The configuration of the store that the last inputs leave out because this node cannot follow it, and why. They have
   * the one before instead. `text` is undefined when the store has none.
   */
  refused: { readonly text: string | undefined; readonly error: unknown } | undefined;

  constructor(
    options: AgentOptions,
    store: LeaseStore,
    stateDir: StateDir,
    socket: NetlinkSocket,
    log: Log,
    host: ResolverHost = NO_HOST,
  ) {
    this.#host = host;
    this.#options = options;
    this.#store = store;
    this.#stateDir = stateDir;
    this.#socket = socket;
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

  /** The network continues with the inputs under this text. */
  follow(text: string, { settings }: NetworkInputs): void {
    this.#config = { text, source: this.#config?.source ?? this.#store.location };
    this.#settings = settings;
  }

  /**
   * The inputs of a running network under another configuration. Changes nothing.
   * @throws RipstopError when this node, as it is now, cannot follow the configuration
   */
  under(config: NetworkConfig, present: NetworkInputs): NetworkInputs {
    const { underlay, settings } = this.#onNode(config, present.settings);
    const lease = { ...present.lease, ...config.single?.subnets };
    const macs = derivedMacs(config, underlay) ?? present.macs;
    const inputs = { config, underlay, lease, macs, settings };
    planOverlays(inputs);
    if (config.single) refuseOnUnderlay(lease, underlaySubnets(this.#socket, underlay.index), underlay.name);
    return inputs;
  }

  /** Resolves the configuration of the store, without a lease. Saves nothing. @throws RipstopError as the store does, ECONFIG */
  async preview(): Promise<Resolved> {
    await this.#readState();
    return this.#resolveStore(false);
  }

  /**
   * Resolves the configuration of the store. The present one stays in force while this node cannot follow that of the
   * store: otherwise a start for another reason, such as an address that is gone, would wait for a person.
   */
  async #resolveStore(saveMacs: boolean): Promise<Resolved> {
    let source: ConfigText | undefined;
    try {
      source = await this.#store.networkConfig();
      const isHeld =
        this.#config !== undefined &&
        source.text !== this.#config.text &&
        this.#host.holds(this.parse(source.text, source.source), source.text);
      const resolved = await this.#accept(isHeld ? this.#config! : source, saveMacs);
      this.refused = undefined;
      return resolved;
    } catch (error) {
      const present = this.#config;
      const isUnusable = hasCode(error, 'ECONFIG', 'EUNDERLAY');
      // A store that parses its own file has checked it, and has no other.
      if (!present || !isUnusable || this.#store.parseConfig || source?.text === present.text) throw error;
      const resolved = await this.#accept(present, saveMacs);
      this.refused = { text: source?.text, error };
      return resolved;
    }
  }

  async #accept(source: ConfigText, saveMacs: boolean): Promise<Resolved> {
    this.#overrides = (await this.#store.overrides?.()) ?? {};
    const resolved = await this.#resolveNow(source, saveMacs);
    this.#config = source;
    for (const note of [...resolved.config.notes, ...this.#mismatches(resolved.config)]) this.#log.info(note);
    const large = largeMtu(resolved.config.backend, resolved.underlay);
    if (large !== undefined) this.#log.warn(large);
    return resolved;
  }

  /** Asks the store, and acquires the lease. @throws RipstopError as the store does, ECONFIG */
  async fromStore(client: LeaseClient): Promise<NetworkInputs> {
    const { attributes, ...rest } = await this.#resolveStore(true);
    const { config, underlay } = rest;
    const plans = planOverlays({ ...rest, lease: config.single?.subnets ?? config });
    refuseBusyDevices(this.#socket, plans, this.#options.dataPlane, this.#host.openDevices());
    const former = await readSubnetEnv(this.#options.subnetFile);
    const previous =
      former?.subnet || former?.subnet6 ? { v4: former.subnet, v6: former.subnet6 } : undefined;
    const avoid = underlaySubnets(this.#socket, underlay.index);
    const lease = await client.acquire({ config, attributes, previous, avoid });
    const held = { lease: lease.key, underlay: underlay.name, mtu: underlay.mtu };
    const text = JSON.stringify(held);
    if (text !== this.#loggedLease) this.#log.info(held, 'holding a lease');
    this.#loggedLease = text;
    this.#settings = rest.settings;
    return { ...rest, lease };
  }

  /** The saved state of the previous run; undefined without one, or when the node has changed since. */
  async loadSaved(): Promise<SavedInputs | undefined> {
    this.#stateDir.removeStaleTemps(this.#options.subnetFile);
    if (this.#store.leases) return undefined;
    const known = await this.#readState();
    if (!known) return undefined;
    try {
      const present = await Promise.race([
        this.#fetchOverrides(),
        sleep(OBJECTION_MS, undefined, { ref: false }),
      ]);
      return !present || isSameNode(present, known.overrides) ? await this.#resolveSaved(known) : undefined;
    } catch {
      // `fromStore` fails in the same way, and reports it.
      return undefined;
    }
  }

  /** True when the store, now that it answers, has another node than the saved state: the node joined another cluster. */
  async storeDisagrees(): Promise<boolean> {
    try {
      const present = await this.#fetchOverrides();
      return present !== undefined && !isSameNode(present, this.#overrides);
    } catch (error) {
      return hasCode(error, 'ENOLEASE');
    }
  }

  /** The saved state, while the store is unreachable. @throws RipstopError ESTORE when this node has changed since */
  async saved(): Promise<SavedInputs | undefined> {
    const known = await this.#readState();
    return known && this.#resolveSaved({ ...known, config: this.#config ?? known.config });
  }

  /** Saves the state for the next start. */
  save(
    lease: Lease,
    { leases, kept }: { leases: ReadonlyMap<string, Lease> | undefined; kept: KeptLeases | undefined },
    refused: ReadonlySet<string>,
  ): void {
    if (!this.#config || !leases || this.#store.leases) return;
    const [store, config, overrides] = [this.#store.location, this.#config, this.#overrides];
    const underlay = this.#chooser.history;
    this.#stateDir.save({ store, config, lease, leases, refused, overrides, underlay, kept }, error =>
      this.#log.warn(`cannot save the state for a restart: ${describeError(error)}`),
    );
  }

  /** The underlay as this node is now. @throws RipstopError EUNDERLAY */
  chooseUnderlay(config: NetworkConfig): Underlay {
    return this.#chooser.choose(config, this.#overrides);
  }

  links(): readonly UnderlayLink[] {
    return this.#chooser.view.links();
  }

  /** What the store sets for this node; undefined where it sets nothing, or is unreachable. */
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
    this.#chooser.history ??= known?.underlay;
    if (known?.store !== this.#store.location) return undefined;
    return known.lease.expiresAt && known.lease.expiresAt < Date.now() ? undefined : known;
  }

  async #resolveSaved(known: Checkpoint): Promise<SavedInputs> {
    const { lease } = known;
    this.refused = undefined;
    this.#config = known.config;
    this.#overrides = known.overrides;
    const { attributes, ...rest } = await this.#resolveNow(known.config, true);
    if (!sameAttributes(attributes, lease.attributes))
      throw new RipstopError(
        'ESTORE',
        `${this.#store.location} is unreachable, and this node has changed since the state was saved`,
      );
    this.#settings = rest.settings;
    return { ...known, inputs: { ...rest, lease } };
  }

  /** Keys that this node's data plane does not support. */
  #mismatches({ backend }: NetworkConfig): string[] {
    const isIgnored = backend.type === 'vxlan' && backend.learning && this.#options.dataPlane !== 'kernel';
    return isIgnored ? ['Backend.Learning has an effect only with --data-plane=kernel'] : [];
  }

  async #savedMacs({ backend }: NetworkConfig, save: boolean): Promise<VtepMacs> {
    const known = { ...deviceMacs(this.#socket, backend), ...this.#overrides };
    const failed = (error: unknown): void =>
      this.#log.warn(`cannot save the MAC addresses for a restart: ${describeError(error)}`);
    return this.#stateDir.macs(known, save ? failed : undefined);
  }

  /** Resolves a configuration on this node as it is now. */
  async #resolveNow({ text, source }: ConfigText, saveMacs: boolean): Promise<Resolved> {
    const config = this.parse(text, source);
    const { underlay, settings } = this.#onNode(config, this.#settings);
    this.#chooser.settle(underlay, config, this.#overrides);
    const macs = derivedMacs(config, underlay) ?? (await this.#savedMacs(config, saveMacs));
    // A lease has subnets of these families: fails now, not after the lease was acquired.
    planOverlays({ config, underlay, macs, lease: config.single?.subnets ?? config });
    const { remoteChecksum, proofMs, dataPlane } = this.#options;
    const offloadProofs = proofMs > 0 && isModeCarriedHere(config.backend.type, dataPlane);
    const attributes = leaseAttributes(config.backend, underlay, macs, { remoteChecksum, offloadProofs });
    return { config, underlay, macs, settings, attributes };
  }

  /**
   * Underlay and settings under a configuration. Changes nothing.
   * @param present settings of which the values stay where the configuration gives wrong ones
   * @throws RipstopError when this node, as it is now, cannot follow the configuration
   */
  #onNode(
    config: NetworkConfig,
    present: ResolvedSettings | undefined,
  ): { underlay: Underlay; settings: ResolvedSettings } {
    const { netns, dataPlane } = this.#options;
    refuseGroupPolicy(config, dataPlane);
    const underlay = this.chooseUnderlay(config);
    const { public4 = underlay.address4, public6 = underlay.address6 } = underlay;
    if (config.backend.type === 'host-gw' && (public4 !== underlay.address4 || public6 !== underlay.address6))
      throw new RipstopError(
        'ECONFIG',
        `interface ${underlay.name} does not have the public address ${public4 ?? public6}: host-gw routes to it, which does not work through NAT`,
        'leave out --public-ip and the annotations that replace it, or use vxlan',
      );
    const settings = settingsUnder(this.#options, config, present);
    const { driver, workers } = settings.values;
    if (isModeCarriedHere(config.backend.type, dataPlane)) checkDriver({ driver, netns, queues: workers });
    return { underlay, settings };
  }
}

/**
 * With GBP, the frames of other nodes carry packet marks. A TAP cannot hand them to the kernel, so that Ripstop's data plane
 * would lose either the frames or what the marks decide.
 * @throws RipstopError ECONFIG
 */
export function refuseGroupPolicy({ backend }: NetworkConfig, dataPlane: AgentOptions['dataPlane']): void {
  if (backend.type !== 'vxlan' || !backend.gbp || dataPlane === 'kernel') return;
  throw new RipstopError(
    'ECONFIG',
    'Backend.GBP is true: frames of other nodes carry packet marks, which only the data plane of the kernel hands on',
    'start the agent with --data-plane=kernel, or set GBP to false for all nodes',
  );
}

/** The settings in force under a configuration. Of a key that it gives wrongly, the present value stays. */
function settingsUnder(
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

/** The MAC of a node of a static file is the one that the other nodes derive for it (docs/decisions/0032). */
export function derivedMacs({ single, backend }: NetworkConfig, underlay: Underlay): VtepMacs | undefined {
  if (!single) return undefined;
  const address = underlay.address4 ?? underlay.address6 ?? '';
  const mac = single.mac ?? vtepMac(backend.type === 'vxlan' ? backend.vni : 0, address);
  return { mac4: mac, mac6: mac };
}

function isSameNode(one: NodeOverrides, other: NodeOverrides): boolean {
  const keys = ['publicIp', 'publicIpv6', 'overwriteIp', 'overwriteIpv6', 'nodeUid'] as const;
  return keys.every(key => one[key] === other[key]);
}
