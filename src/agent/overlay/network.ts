import { isDeepStrictEqual } from 'node:util';
import { componentLog, type Log } from '../../base/log.ts';
import type { PeerChanges } from '../../dataplane/descriptor/peer.ts';
import type { Prefix } from '../../ip/prefix.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { formatSubnetEnv, readSubnetEnv, writeSubnetEnv } from '../config/subnet-env.ts';
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
import { formerNetworks, keepBlackholeRoutes, keepForwarding, type NodeChange } from './node-state.ts';
import { Overlay } from './overlay.ts';
import { type Part, PartAttempts } from './part-attempts.ts';
import { PeerSelector } from './peer-selector.ts';
import { Rejections, refusedByKernel } from './rejections.ts';
import type { RepairCounts } from './repair-counts.ts';

/** What the networks of one agent share. */
export interface NetworkHost {
  readonly options: AgentOptions;
  readonly repairs: RepairCounts;
  readonly former: FormerState;
  readonly log: Log;
}

/** The overlays, rules and subnet.env of a node, for as long as its lease, configuration and underlay stay the same. */
export class Network {
  #inputs: NetworkInputs;
  #rules: NodeRules;
  /** Rules and content of subnet.env that were set: a later difference is a change by others. */
  #setRules: NodeRules | undefined;
  /** Inputs with which the node was compared last: a later change with the same inputs is a repair. */
  #comparedInputs: NetworkInputs | undefined;
  #setEnv = '';
  readonly #repairs: RepairCounts;
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #socket: NetlinkSocket;
  readonly #rejections: Rejections;
  readonly #selectors = new Map<OverlayPlan, PeerSelector>();
  readonly #parts: PartAttempts;
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
    this.#parts = new PartAttempts(repairs, this.#log);
    this.#rejections = new Rejections(this.#log);
    this.#socket = new NetlinkSocket({ netns: options.netns });
    this.#rules = this.#rulesFor(plans);
  }

  /**
   * Prepares the overlays, while other tunnels may still carry the packets; `open` and `start` follow. Undone on failure.
   * @param plans of `inputs`
   * @param known leases, whose nodes are peers when this resolves; which of them an earlier selection refused; names of
   *   the devices that agents of this node made
   * @throws RipstopError
   */
  static async prepare(
    inputs: NetworkInputs,
    plans: readonly OverlayPlan[],
    host: NetworkHost,
    known: {
      leases: ReadonlyMap<string, Lease>;
      refused: ReadonlySet<string>;
      devices: readonly string[];
    },
  ): Promise<Network> {
    const { config, underlay, lease } = inputs;
    const network = new Network(inputs, plans, host);
    try {
      refuseOnUnderlay(lease, network.#lookAtWire(), underlay.name);
    } catch (error) {
      await network.stop();
      throw error;
    }
    network.#rejections.refused = known.refused;
    const former = await formerNetworks(host.options.subnetFile, config);
    const begun = await Promise.allSettled(
      plans.map(plan => {
        const peers = [...network.#select(plan, known.leases).peers.values()];
        return Overlay.prepare(
          plan,
          config.backend,
          underlay,
          {
            ...host.options,
            settings: inputs.settings.values,
            ownDevices: known.devices,
            formerNetworks: former,
            isRelay: config.single !== undefined,
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

  /**
   * Takes over devices and ports, and sets the kernel state of each overlay before the next one is opened. After a failure
   * it may be called again, or `stop`.
   * @param hasPeers the peers are known; without them the kernel state of the previous run carries traffic
   * @throws RipstopError
   */
  open(hasPeers: boolean): void {
    for (const overlay of this.#overlays) {
      overlay.open();
      if (!hasPeers) continue;
      try {
        this.#setPeers(overlay, { set: [], removed: [] });
      } catch {
        // `update` tries again, and its errors are reported.
      }
    }
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

  get #plans(): OverlayPlan[] {
    return this.#overlays.map(({ plan }) => plan);
  }

  /** Continues with compatible inputs. The next comparison tries again what fails. */
  async takeUp(inputs: NetworkInputs): Promise<void> {
    this.#inputs = inputs;
    this.#rules = this.#rulesFor(this.#plans);
    await this.start();
  }

  /**
   * Sets the rules and writes subnet.env, which CNI plugins wait for. A part that fails is in `reconcileErrors`, and the
   * next comparison tries it again.
   */
  async start(): Promise<void> {
    await this.#settled();
    await this.#compareOnce(() => this.#compareNode());
  }

  get overlays(): readonly Overlay[] {
    return this.#overlays;
  }

  /** Parts whose last comparison failed, with the reason of each. */
  get reconcileErrors(): ReadonlyMap<Part, string> {
    return this.#parts.errors;
  }

  get rejected(): readonly RejectedLease[] {
    return this.#rejections.all;
  }

  /** Keys of the leases that contradict this node's or a peer's. */
  get refused(): ReadonlySet<string> {
    return this.#rejections.refused;
  }

  /**
   * Makes the nodes of `leases` the peers of every overlay.
   * @returns a sentence about leases that are newly refused because they contradict others; undefined: none
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

  /** Collects the rejected leases, and logs the new ones. @returns the new ones */
  #noteRejections(): RejectedLease[] {
    return this.#rejections.note(
      this.overlays.flatMap(overlay => [
        ...(this.#selectors.get(overlay.plan)?.rejected.values() ?? []),
        ...Array.from(overlay.refused, ([key, message]) => refusedByKernel(key, message)),
      ]),
    );
  }

  #lookAtWire(): readonly Prefix[] {
    this.#wire.splice(0, Infinity, ...underlaySubnets(this.#socket, this.inputs.underlay.index));
    return this.#wire;
  }

  /**
   * True when the subnets of the underlay may have changed, on which the choice of peers depends. An `update` of all leases
   * considers the change.
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
      selector = new PeerSelector({ plan, config, own, onLink, underlay: this.#wire }, this.refused);
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

  /** @returns true when the events say that the kernel state may differ from the desired one */
  noteEvents(events: readonly NetEvent[]): boolean {
    let isTouched = events.some(event => affectsReach(event, this.inputs.underlay));
    if (isTouched) this.#mustSelect = true;
    for (const overlay of this.overlays)
      for (const event of events) if (overlay.noteEvent(event)) isTouched = true;
    return isTouched;
  }

  /**
   * Compares kernel state, rules and subnet.env with the desired ones and repairs them. Failures are logged, counted and
   * listed in `reconcileErrors`; the next call tries again.
   */
  async reconcile(): Promise<void> {
    await (this.#comparing ?? this.#compareOnce(() => this.#compare()));
  }

  /** Resolves when no comparison is under way: another one may begin when one ends. */
  async #settled(): Promise<void> {
    while (this.#comparing) await this.#comparing;
  }

  /** Begins a comparison when none is under way: two at once would undo one another's rules. */
  async #compareOnce(work: () => Promise<void>): Promise<void> {
    const former = this.#comparing;
    const comparing = (former ? former.then(work) : work()).finally(() => {
      if (this.#comparing === comparing) this.#comparing = undefined;
    });
    this.#comparing = comparing;
    await comparing;
  }

  async #compare(): Promise<void> {
    // Before the peers are known, the kernel state of the previous run carries traffic.
    if (this.#hasPeers)
      await this.#parts.make('kernel state', async () => {
        for (const overlay of this.overlays)
          for (const step of await overlay.reconcile()) this.#countRepair(step.do, describeChange(step));
        this.#noteRejections();
      });
    await this.#compareNode();
  }

  async #compareNode(): Promise<void> {
    const { rules, subnetFile } = this.#options;
    await this.#parts.make('forwarding of pods', async () =>
      this.#noteChanges(keepForwarding(this.#socket, this.#inputs)),
    );
    await this.#parts.make('blackhole route', () => this.#keepBlackholes());
    if (rules)
      await this.#parts.make('rules', async () => {
        const keeper = this.rules;
        const isRestored = (await keeper.ensure()) && keeper === this.#setRules;
        this.#setRules = keeper;
        if (!isRestored) return;
        this.#repairs.rules++;
        this.#log.warn({ repair: 'rules' }, 'restored modified firewall rules');
      });
    await this.#parts.make('subnet.env', async () => {
      const wanted = subnetEnvOf(this.#inputs, this.#plans, this.#options);
      const text = formatSubnetEnv(wanted);
      const isChange = text !== this.#setEnv;
      const present = await readSubnetEnv(subnetFile);
      if (!present || formatSubnetEnv(present) !== text) {
        await writeSubnetEnv(subnetFile, wanted);
        if (!isChange) this.#countRepair('write-subnet-env', `file ${subnetFile}`);
      }
      this.#setEnv = text;
    });
  }

  /**
   * Ends the network. Rules, subnet.env and lease stay.
   * @param next overlays of the next network: what they do not use is removed; undefined: everything stays
   */
  async stop(next?: readonly OverlayPlan[]): Promise<void> {
    await this.#settled();
    for (const overlay of this.overlays) {
      const { device, networks } = overlay.plan;
      const goesOn =
        next?.some(plan => plan.device === device && plan.networks.join() === networks.join()) ?? true;
      await overlay.stop(!goesOn);
    }
    // Nothing follows and nothing stays (`ripstop run`).
    if (next?.length === 0) await this.#parts.make('blackhole route', () => this.#keepBlackholes(true));
    this.#socket.close();
  }

  async #keepBlackholes(isEnd = false): Promise<void> {
    const inputs = this.#inputs;
    const when = { isFirst: this.#comparedInputs !== inputs, isEnd };
    this.#noteChanges(await keepBlackholeRoutes(this.#socket, inputs, this.#options, when));
    this.#comparedInputs = inputs;
  }

  #noteChanges(changes: readonly NodeChange[]): void {
    for (const { kind, text } of changes)
      if (this.#comparedInputs === this.#inputs) this.#countRepair(kind, text);
      else this.#log.info(text);
  }

  #countRepair(repair: string, what: string): void {
    this.#repairs.steps.set(repair, (this.#repairs.steps.get(repair) ?? 0) + 1);
    this.#log.warn({ repair }, `repaired: ${what}`);
  }
}
