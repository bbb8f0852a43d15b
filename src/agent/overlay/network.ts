import { isDeepStrictEqual } from 'node:util';
import { codeOf, describeError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import type { PeerChanges } from '../../dataplane/descriptor/peer.ts';
import type { Prefix } from '../../ip/prefix.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { formatSubnetEnv, readSubnetEnv, type SubnetEnv, writeSubnetEnv } from '../config/subnet-env.ts';
import { isOnLink } from '../inputs/link-snapshot.ts';
import type { AgentOptions } from '../inputs/options.ts';
import { isCarriedHere, type OverlayPlan, planOverlays, subnetEnvOf } from '../inputs/plan.ts';
import type { NetworkInputs } from '../inputs/resolve.ts';
import { refuseOnUnderlay, underlaySubnets } from '../inputs/underlay-subnets.ts';
import { describeChange } from '../kernel/change.ts';
import { affectsReach } from '../kernel/events.ts';
import type { FormerState } from '../kernel/former-state.ts';
import { type Lease, sameSubnets } from '../lease/lease.ts';
import { describeRefusals, isContradiction, type RejectedLease } from '../lease/rejected-lease.ts';
import { NodeRules } from '../rules/node-rules.ts';
import { ruleSet, trafficManager } from '../rules/rule-set.ts';
import { addBlackholes } from './blackhole.ts';
import { Overlay } from './overlay.ts';
import { PeerSelector } from './peer-selector.ts';

/** Repairs since the agent started; each network adds to them. */
export interface RepairCounts {
  /** Changes of the kernel's state by kind of step, made by the periodic comparison and not by a lease. */
  readonly steps: Map<string, number>;
  rules: number;
  /** Comparisons that failed. */
  failures: number;
}

export const emptyRepairCounts = (): RepairCounts => ({ steps: new Map(), rules: 0, failures: 0 });

/** What the networks of one agent share. */
export interface NetworkHost {
  readonly options: AgentOptions;
  readonly repairs: RepairCounts;
  readonly former: FormerState;
  readonly log: Log;
}

/** What a network puts in order, part by part: a part that fails keeps no other one from being tried. */
export type Part = 'kernel state' | 'blackhole route' | 'rules' | 'subnet.env';

/**
 * The node while it holds one lease under one configuration on one underlay: overlays, rules, subnet.env. Gets leases,
 * keeps everything as it should be, says what it does.
 */
export class Network {
  #inputs: NetworkInputs;
  #rules: NodeRules;
  #isStarted = false;
  readonly #repairs: RepairCounts;
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #socket: NetlinkSocket;
  #rejected: readonly RejectedLease[] = [];
  #refused: ReadonlySet<string> = new Set();
  readonly #selectors = new Map<OverlayPlan, PeerSelector>();
  readonly #reconcileErrors = new Map<Part, string>();
  readonly #overlays: Overlay[] = [];
  #hasPeers = false;
  /** Subnets and addresses of the underlay interface, as the last selection among all leases found them. */
  readonly #wire: Prefix[] = [];
  #mustSelect = false;
  /** The comparison under way. */
  #comparing: Promise<void> | undefined;

  private constructor(
    inputs: NetworkInputs,
    plans: readonly OverlayPlan[],
    { options, repairs, log }: NetworkHost,
  ) {
    this.#inputs = inputs;
    this.#repairs = repairs;
    this.#options = options;
    this.#log = componentLog(log, 'overlay');
    this.#socket = new NetlinkSocket({ netns: options.netns });
    this.#rules = this.#rulesFor(plans);
  }

  /**
   * Opens the overlays; `start` follows. Undone on failure.
   * @param known leases that are known already: packets of their nodes flow when this resolves; which of them a
   *   selection refused before; names of the devices that agents of this node made
   * @throws RipstopError
   */
  static async open(
    inputs: NetworkInputs,
    host: NetworkHost,
    known: {
      leases: ReadonlyMap<string, Lease>;
      refused: ReadonlySet<string>;
      devices: readonly string[];
    },
  ): Promise<Network> {
    const { config, underlay, lease } = inputs;
    const plans = planOverlays(inputs);
    const network = new Network(inputs, plans, host);
    try {
      refuseOnUnderlay(lease, network.#lookAtWire(), underlay.name);
    } catch (error) {
      await network.stop();
      throw error;
    }
    network.#refused = known.refused;
    const begun = await Promise.allSettled(
      plans.map(plan => {
        const peers = [...network.#select(plan, known.leases).peers.values()];
        return Overlay.start(
          plan,
          config.backend,
          underlay,
          {
            ...host.options,
            settings: inputs.settings.values,
            ownDevices: known.devices,
            former: host.former,
            log: host.log,
          },
          peers,
        );
      }),
    );
    for (const result of begun) if (result.status === 'fulfilled') network.#overlays.push(result.value);
    const failure = begun.find(result => result.status === 'rejected');
    if (!failure) return network;
    await network.stop();
    throw failure.reason;
  }

  #rulesFor(plans: readonly OverlayPlan[]): NodeRules {
    const [inputs, options] = [this.#inputs, this.#options];
    const set = ruleSet(inputs, plans, options);
    const log = componentLog(this.#log, 'rules');
    return new NodeRules(options.netns, options.instance, set, trafficManager(inputs, options), log);
  }

  get inputs(): NetworkInputs {
    return this.#inputs;
  }

  get rules(): NodeRules {
    return this.#rules;
  }

  /** True when overlays, lease and peers stay as they are under other inputs. @param plans of `inputs` */
  isCompatibleWith(inputs: NetworkInputs, plans = planOverlays(inputs)): boolean {
    const { config, lease } = inputs;
    const present = this.#inputs;
    return (
      !config.v4 === !lease.v4 &&
      !config.v6 === !lease.v6 &&
      sameSubnets(lease, present.lease) &&
      isDeepStrictEqual(inputs.underlay, present.underlay) &&
      isDeepStrictEqual(config.backend, present.config.backend) &&
      isDeepStrictEqual(config.single, present.config.single) &&
      isDeepStrictEqual(plans, this.#plans) &&
      isDeepStrictEqual(this.#settingsInUse(inputs), this.#settingsInUse(present))
    );
  }

  /** Settings that the overlays depend on: plain routes on none, a device of the kernel on the length of its queue. */
  #settingsInUse({ settings: { values } }: NetworkInputs): unknown {
    if (this.#plans.some(plan => isCarriedHere(plan, this.#options.dataPlane))) return values;
    return this.#plans.some(({ device }) => device !== undefined) ? values.txQueueLength : undefined;
  }

  get #subnetEnv(): SubnetEnv {
    return subnetEnvOf(this.#inputs, this.#plans, this.#options);
  }

  get #plans(): OverlayPlan[] {
    return this.#overlays.map(({ plan }) => plan);
  }

  /** Goes on with compatible inputs. What fails now is tried again by the next comparison. */
  async takeUp(inputs: NetworkInputs): Promise<void> {
    await this.#comparing;
    this.#inputs = inputs;
    this.#rules = this.#rulesFor(this.#plans);
    await this.start();
  }

  /**
   * Puts the rules in place and writes subnet.env, by which pods begin to be wired. A part that fails is in `reconcileErrors`,
   * and the next comparison tries it again: packets of the pods that are there flow meanwhile.
   */
  async start(): Promise<void> {
    while (this.#comparing) await this.#comparing;
    await this.#compareOnce(async () => {
      await this.#attempt('blackhole route', async () => this.#blackhole());
      if (this.#options.rules) await this.#attempt('rules', async () => void (await this.rules.ensure()));
      await this.#attempt('subnet.env', () => writeSubnetEnv(this.#options.subnetFile, this.#subnetEnv));
      this.#isStarted = true;
    });
  }

  get overlays(): readonly Overlay[] {
    return this.#overlays;
  }

  /** Parts that could not be put in order at the last comparison, with the reason of each. */
  get reconcileErrors(): ReadonlyMap<Part, string> {
    return this.#reconcileErrors;
  }

  /** True once the peers of the store, or the last known ones, were applied. */
  get hasPeers(): boolean {
    return this.#hasPeers;
  }

  get rejected(): readonly RejectedLease[] {
    return this.#rejected;
  }

  /** Keys of the leases that contradict this node's or a peer's. */
  get refused(): ReadonlySet<string> {
    return this.#refused;
  }

  /**
   * Makes the nodes of `leases` the peers, in every overlay that lets it.
   * @returns a sentence on leases that are refused from now on because they contradict others; undefined: none
   * @throws RipstopError, NetError the first refusal
   */
  update(leases: ReadonlyMap<string, Lease>, changed?: ReadonlySet<string>): string | undefined {
    const failures: unknown[] = [];
    if (!changed) {
      this.#mustSelect = false;
      this.#lookAtWire();
    }
    for (const overlay of this.overlays) {
      const { changes } = this.#select(overlay.plan, leases, changed);
      try {
        this.#setPeers(overlay, changes);
      } catch (error) {
        failures.push(error);
      }
    }
    this.#hasPeers = true;
    const news = this.#noteRejections();
    if (failures.length > 0) throw failures[0];
    return describeRefusals(news.filter(isContradiction));
  }

  /** Gathers the leases that give no peer, and logs those that are new. @returns the new ones */
  #noteRejections(): RejectedLease[] {
    const rejected = new Map<string, RejectedLease>();
    for (const overlay of this.overlays) {
      for (const rejection of this.#selectors.get(overlay.plan)?.rejected.values() ?? [])
        rejected.set(textOf(rejection), rejection);
      for (const [key, message] of overlay.refused) {
        const rejection: RejectedLease = { key, reason: 'refused', message: `cannot be a peer: ${message}` };
        rejected.set(textOf(rejection), rejection);
      }
    }
    const logged = new Set(this.#rejected.map(textOf));
    this.#rejected = [...rejected.values()];
    const news = this.#rejected.filter(rejection => !logged.has(textOf(rejection)));
    for (const { key, reason, message } of news)
      this.#log.warn({ lease: key, reason }, `ignoring lease: it ${message}`);
    this.#refused = new Set(this.#rejected.filter(isContradiction).map(({ key }) => key));
    return news;
  }

  #lookAtWire(): readonly Prefix[] {
    this.#wire.splice(0, Infinity, ...underlaySubnets(this.#socket, this.inputs.underlay.index));
    return this.#wire;
  }

  /**
   * True when the underlay has other subnets, or may have: leases that were refused for their sake may be peers, and the
   * other way round. An `update` of all leases takes account of it.
   */
  get mustSelect(): boolean {
    return this.#mustSelect;
  }

  #select(
    plan: OverlayPlan,
    leases: ReadonlyMap<string, Lease>,
    changed?: ReadonlySet<string>,
  ): { peers: PeerSelector['peers']; changes: PeerChanges } {
    let selector = this.#selectors.get(plan);
    if (!selector) {
      const { config, lease: own, underlay } = this.inputs;
      const onLink = (address: string): boolean => isOnLink(this.#socket, address, underlay.index);
      selector = new PeerSelector({ plan, config, own, onLink, underlay: this.#wire }, this.#refused);
      this.#selectors.set(plan, selector);
    }
    const changes = selector.update(leases, changed);
    return { peers: selector.peers, changes };
  }

  #setPeers(overlay: Overlay, changes: PeerChanges): void {
    const steps = overlay.change(changes);
    const { device = 'routes' } = overlay.plan;
    if (steps.length > 0)
      this.#log.info({ device, peers: overlay.peerCount, changes: steps.length }, 'peers applied');
    for (const step of steps) this.#log.debug({ device }, describeChange(step));
  }

  /** Takes note of what the kernel tells. @returns true when something of the overlays is not as it should be */
  noteEvents(events: readonly NetEvent[]): boolean {
    let isTouched = events.some(event => affectsReach(event, this.inputs.underlay));
    if (isTouched) this.#mustSelect = true;
    for (const overlay of this.overlays)
      for (const event of events) if (overlay.noteEvent(event)) isTouched = true;
    return isTouched;
  }

  /**
   * Compares kernel, rules and subnet.env with what they should be and corrects them. Failures are logged, counted and
   * listed in `reconcileErrors`; the next call tries again.
   */
  async reconcile(): Promise<void> {
    await (this.#comparing ?? this.#compareOnce(() => this.#compare()));
  }

  async #compareOnce(work: () => Promise<void>): Promise<void> {
    this.#comparing = work().finally(() => {
      this.#comparing = undefined;
    });
    await this.#comparing;
  }

  async #compare(): Promise<void> {
    // Before the peers are known, what the previous run left carries traffic: there is nothing to compare it with.
    if (this.#hasPeers)
      await this.#attempt('kernel state', async () => {
        for (const overlay of this.overlays)
          for (const step of await overlay.reconcile()) this.#countRepair(step.do, describeChange(step));
        this.#noteRejections();
      });
    await this.#attempt('blackhole route', async () => this.#blackhole());
    await this.#attempt('subnet.env', async () => {
      const { subnetFile } = this.#options;
      const there = await readSubnetEnv(subnetFile);
      if (there && formatSubnetEnv(there) === formatSubnetEnv(this.#subnetEnv)) return;
      await writeSubnetEnv(subnetFile, this.#subnetEnv);
      // A comparison may come before the first writing, which is no repair.
      if (this.#isStarted) this.#countRepair('write-subnet-env', `file ${subnetFile}`);
    });
    await this.#attempt('rules', async () => {
      if (!this.#options.rules || !(await this.rules.ensure())) return;
      this.#repairs.rules++;
      this.#log.warn({ repair: 'rules' }, 'restored modified firewall rules');
    });
  }

  async #attempt(part: Part, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      if (this.#reconcileErrors.delete(part)) this.#log.info({ part }, `${part}: in order again`);
    } catch (error) {
      this.#repairs.failures++;
      const text = describeError(error);
      // Logged once; a failure that repeats is counted.
      if (this.#reconcileErrors.get(part) !== text)
        this.#log.error({ part, code: codeOf(error) }, `${part}: ${text}`);
      this.#reconcileErrors.set(part, text);
    }
  }

  /**
   * Ends the network. Rules, subnet.env and lease stay.
   * @param next overlays of the network that follows: what they have no use for is taken away; undefined: all stays
   */
  async stop(next?: readonly OverlayPlan[]): Promise<void> {
    await this.#comparing;
    for (const overlay of this.overlays) {
      const { device, networks } = overlay.plan;
      const goesOn =
        next?.some(plan => plan.device === device && plan.networks.join() === networks.join()) ?? true;
      await overlay.stop(!goesOn);
    }
    this.#socket.close();
  }

  #blackhole(): void {
    if (this.#options.blackhole) addBlackholes(this.#socket, this.inputs.lease);
  }

  #countRepair(repair: string, what: string): void {
    this.#repairs.steps.set(repair, (this.#repairs.steps.get(repair) ?? 0) + 1);
    this.#log.warn({ repair }, `repaired: ${what}`);
  }
}

function textOf({ key, message }: RejectedLease): string {
  return `${key} ${message}`;
}
