import { Backoff, pause } from '../base/backoff.ts';
import { settled } from '../base/boundary.ts';
import { codeOf, describeError, hasCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EventSocket } from '../net/rtnetlink/events.ts';
import { NetlinkSocket } from '../net/rtnetlink/socket.ts';
import { Beside } from './beside.ts';
import { ConfigWatch } from './config-watch.ts';
import type { AgentOptions } from './inputs/options.ts';
import { type OverlayPlan, planOverlays } from './inputs/plan.ts';
import { InputResolver, type NetworkInputs, type SavedInputs } from './inputs/resolve.ts';
import { StateDir } from './inputs/state-dir.ts';
import { UnderlayFollower } from './inputs/underlay-follower.ts';
import { affectsUnderlay } from './kernel/events.ts';
import { LeaseClient } from './lease/client.ts';
import type { Lease } from './lease/lease.ts';
import type { LeaseStore } from './lease/store.ts';
import { emptyRepairCounts, Network } from './overlay/network.ts';
import { dropStaleDevices, recordDevices } from './overlay/stale-devices.ts';
import { PeerMonitor } from './probe/peer-monitor.ts';
import { Readiness } from './readiness.ts';
import { StoreWatch } from './store/store-watch.ts';

/** How often the kernel's events are looked at, ms: a foreign change heals within this time and a comparison. */
const EVENTS_MS = 500;
const RENEW_CHECK_MS = 15_000;
/** Tries to reach the store at start before the last known state is taken. */
const MAX_FAILURES = 2;

/**
 * The node agent: takes a lease, follows the leases of all others, and keeps this node's overlay as they say. One
 * `Network` at a time does the work; this class decides when there is another one.
 */
export class Agent {
  readonly options: AgentOptions;
  readonly store: LeaseStore;
  readonly readiness = new Readiness();
  readonly repairs = emptyRepairCounts();
  readonly probes: PeerMonitor;
  readonly beside: Beside;
  readonly watch: StoreWatch;
  readonly #log: Log;
  readonly #stateDir: StateDir;
  readonly #socket: NetlinkSocket;
  readonly #events: EventSocket;
  readonly #abort = new AbortController();
  readonly #holder: LeaseClient;
  readonly #resolver: InputResolver;
  readonly #underlay: UnderlayFollower;
  readonly #config: ConfigWatch;
  #network: Network | undefined;
  /** Keys of leases that contradict those of peers. */
  #refused: ReadonlySet<string> = new Set();
  /** True while the lease comes from memory and the store has not confirmed it. */
  #isProvisional = false;
  #isConfirming = false;
  /** Why another network is wanted. */
  #wanted: string | undefined;
  /** The last change that was announced, so that it is announced once. */
  #announcedChange: string | undefined;
  #requestRestart: (() => void) | undefined;
  #timers: NodeJS.Timeout[] = [];
  #networkStarts = 0;

  constructor(options: AgentOptions, store: LeaseStore, log: Log) {
    this.options = options;
    this.store = store;
    this.#log = log;
    this.beside = new Beside(options.stateDir, log, this.readiness, () => this.#setNodeCondition());
    this.watch = new StoreWatch(store, log);
    this.#stateDir = new StateDir(options.stateDir);
    this.#socket = new NetlinkSocket({ netns: options.netns });
    this.#holder = new LeaseClient(store, options.renewMarginMs, log, this.#abort.signal, {
      held: () => {
        this.#isProvisional = false;
        this.watch.reached();
        this.readiness.setTrue('identity');
        this.#save();
      },
      renewed: () => this.#save(),
      contested: error => this.readiness.setFalse('identity', describeError(error)),
      moved: lease => void this.#restart(`the subnet is now ${lease.key}: running pods keep their addresses`),
    });
    this.#resolver = new InputResolver(options, store, this.#stateDir, this.#socket, this.#holder, log);
    this.#underlay = new UnderlayFollower({
      readiness: this.readiness,
      log,
      links: () => this.#resolver.links(),
      usable: () => this.#setNodeCondition(),
      move: why => {
        if (this.#announcedChange !== why) this.store.reconnect?.();
        void this.#restart(why);
      },
    });
    this.#config = new ConfigWatch({
      store,
      resolver: this.#resolver,
      lease: this.#holder,
      log,
      network: () => this.#network,
      restart: (why, change) => void this.#restart(why, change),
      warn: message => void this.#recordEvent('Warning', 'BadConfiguration', message),
    });
    this.probes = new PeerMonitor(
      () => this.#network?.overlays ?? [],
      // Raw sockets are this process's own namespace's.
      options.netns === '' ? options.probeMs : 0,
      log,
      (type, message) => void this.#recordEvent(type, 'RipstopPeers', message),
    );
    this.#events = new EventSocket(options.netns, ['link', 'address', 'route', 'neighbour']);
  }

  get network(): Network | undefined {
    return this.#network;
  }

  get leases(): ReadonlyMap<string, Lease> {
    return this.watch.leases ?? new Map();
  }

  /** Sessions begun; every one after the first was an interruption. */
  get networkStarts(): number {
    return this.#networkStarts;
  }

  get isProvisional(): boolean {
    return this.#isProvisional;
  }

  /**
   * Works until `stop`. A failure is in `readiness` and tried again.
   * @throws RipstopError, NetError with `exitOnFailure`, when the first start fails
   */
  async run(): Promise<void> {
    const backoff = new Backoff(500, 10_000);
    let failures = 0;
    this.probes.start();
    while (!this.#abort.signal.aborted) {
      try {
        this.#wanted = undefined;
        const inputs = await this.#resolveInputs(failures);
        const plans = planOverlays(inputs);
        // The former network carries traffic until here, also while inputs have a fault.
        await this.#stopNetwork(plans);
        await this.#startNetwork(inputs, plans);
        failures = 0;
        backoff.reset();
        await this.#waitForRestart();
      } catch (error) {
        if (this.#abort.signal.aborted) break;
        if (this.options.exitOnFailure && this.#networkStarts === 0) {
          await this.#stopNetwork();
          await this.#end();
          throw error;
        }
        failures++;
        const text = describeError(error);
        if (this.readiness.setFalse('overlay', text)) {
          const state = this.#network ? 'the present overlay stays' : 'not working yet';
          this.#log.error({ code: codeOf(error) }, `${state}: ${text}`);
          await this.#recordEvent('Warning', 'RipstopNotReady', text);
        }
        await backoff.wait(this.#abort.signal);
      }
    }
    await this.#stopNetwork();
    await this.#end();
  }

  /** Ends the agent. Lease, rules and subnet.env stay: the next life finds them. */
  stop(): void {
    this.#abort.abort();
    this.#requestRestart?.();
  }

  /** Reads the network configuration again (SIGHUP) and takes up what changed. */
  reload(): Promise<void> {
    return this.#config.reload();
  }

  /**
   * What a network is built from. A process that starts uses the saved state of the previous run, and the store confirms
   * it later; after some failures the saved state replaces a store that is unreachable.
   */
  async #resolveInputs(failures: number): Promise<NetworkInputs> {
    const isFirst = !this.watch.isFollowing && failures === 0;
    const former = isFirst ? await this.#resolver.loadSaved() : undefined;
    if (former) return this.#startFromSaved(former, 'starting from the saved state of the previous run');
    try {
      const inputs = await this.#resolver.fromStore();
      this.#config.noteFaults(inputs.settings);
      if (this.store.leases) this.watch.remember(this.store.leases, undefined);
      this.watch.reached();
      this.#isProvisional = false;
      return inputs;
    } catch (error) {
      if (!hasCode(error, 'ESTORE')) throw error;
      this.watch.unreachable();
      const known = failures >= MAX_FAILURES ? await this.#resolver.saved() : undefined;
      if (!known) throw error;
      return this.#startFromSaved(known, `starting from the saved state: ${describeError(error)}`);
    }
  }

  #startFromSaved({ inputs, leases, refused, kept }: SavedInputs, why: string): NetworkInputs {
    this.#log.info({ lease: inputs.lease.key }, why);
    if (!this.watch.leases) this.#refused = refused;
    this.watch.remember(leases, kept);
    this.#isProvisional = true;
    return inputs;
  }

  async #startNetwork(inputs: NetworkInputs, plans: readonly OverlayPlan[]): Promise<void> {
    const devices = await recordDevices(this.#socket, this.#stateDir, plans, this.#log);
    const known = { leases: this.leases, refused: this.#refused, devices };
    const network = await Network.open(inputs, this.options, this.repairs, this.#log, known);
    this.#network = network;
    this.#followUnderlay(network);
    // What is known already comes first: packets flow again, whatever the rest of the start takes.
    if (this.watch.leases) this.#apply();
    this.#networkStarts++;
    this.#announcedChange = undefined;
    if (!this.#isProvisional) this.#holder.hold(inputs.config, inputs.lease);
    this.#watchStore(inputs.lease.key);
    this.#timers = [
      setInterval(() => void this.#reconcile(), this.options.resyncMs),
      setInterval(() => this.#pollKernelEvents(), EVENTS_MS),
      setInterval(() => void this.#holder.renewWhenDue(), RENEW_CHECK_MS),
    ];
    await network.start();
    this.#judge(network);
    await dropStaleDevices(this.#socket, this.#stateDir, network.overlays, this.#log);
    if (this.readiness.setTrue('overlay')) this.#setNodeCondition();
  }

  /** Parts of the network that fail make the node not ready, and ready again when they hold. */
  #judge({ reconcileErrors }: Network): void {
    const { isNews, reasons } = this.readiness.update(reconcileErrors);
    for (const reason of reasons) void this.#recordEvent('Warning', 'RipstopNotReady', reason);
    if (isNews) this.#setNodeCondition();
  }

  /** Resolves when another network is needed, or the agent ends. */
  async #waitForRestart(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#requestRestart = resolve;
      // Asked for while the network was being started.
      if (this.#wanted !== undefined || this.#abort.signal.aborted) resolve();
    });
    this.#requestRestart = undefined;
  }

  /** Ends the network. What the next one has no use for is taken away, the rest carries traffic until it takes over. */
  async #stopNetwork(next?: readonly OverlayPlan[]): Promise<void> {
    const network = this.#network;
    if (!network) return;
    for (const timer of this.#timers) clearInterval(timer);
    this.#network = undefined;
    this.#holder.release();
    this.#underlay.reset();
    this.readiness.setFalse('overlay', 'the overlay is being started');
    await network.stop(next ?? (this.options.keepState ? undefined : []));
  }

  #watchStore(own: string): void {
    this.watch.follow(own, {
      leases: (all, changed) => {
        this.#apply(changed);
        if (!this.#isProvisional) this.#holder.check(all);
      },
      config: text => this.#config.changed(text),
      up: () => this.#confirm(),
      emptied: message => void this.#recordEvent('Warning', 'StoreEmptied', message),
      conflict: error => {
        this.readiness.setFalse('identity', describeError(error));
        this.#log.error(describeError(error));
        void this.#recordEvent('Warning', 'AddressInUse', describeError(error));
        void this.#holder.reacquire('the address was contested');
      },
    });
  }

  /** The store answers: what is remembered of it holds, or is another cluster's. */
  #confirm(): void {
    const inputs = this.#network?.inputs;
    if (!this.#isProvisional || !this.watch.isUp || !inputs || this.#isConfirming) return;
    this.#isConfirming = true;
    const confirm = async (): Promise<void> => {
      const storeDisagrees = await this.#resolver.storeDisagrees();
      if (this.#network?.inputs !== inputs) return; // another network has begun by what the store says
      if (storeDisagrees) await this.#restart('this node was registered anew while the store was away');
      else await this.#holder.reacquire('the last known state is confirmed', inputs);
    };
    void confirm().finally(() => {
      this.#isConfirming = false;
    });
  }

  /** Gives the network the leases of which `changed` changed (undefined: any); the next comparison makes up for a failure. */
  #apply(changed?: ReadonlySet<string>): void {
    const network = this.#network;
    if (!network || !this.watch.leases) return;
    try {
      const news = network.update(this.watch.leases, changed);
      this.#refused = network.refused;
      // What the kernel tells of this change is compared with it now, not with the next one.
      this.#pollKernelEvents();
      if (news) void this.#recordEvent('Warning', 'RipstopLeaseRefused', news);
      if (this.readiness.setTrue('peers')) this.#setNodeCondition();
    } catch (error) {
      if (this.options.exitOnFailure && this.#networkStarts === 0) throw error;
      const text = describeError(error);
      if (this.readiness.setFalse('peers', text)) this.#log.error(`the peers could not be applied: ${text}`);
    }
    this.#save();
  }

  /** Keeps what is known for a start while the store is away. */
  #save(): void {
    const { lease } = this.#holder;
    if (lease) this.#resolver.save(lease, this.watch, this.#refused);
  }

  #setNodeCondition(): void {
    if (!this.readiness.isReady) return;
    this.#log.info({ ready: true, lease: this.#network?.inputs.lease.key }, 'ready: packets can flow');
    this.store.ready?.(`pod subnet ${this.#network?.inputs.lease.key ?? ''}`);
  }

  /** Parts of the network and writes to the store that do not hold at the moment, with the reason of each. */
  get failing(): ReadonlyMap<string, string> {
    return new Map<string, string>([
      ...(this.#network?.reconcileErrors ?? []),
      ...(this.store.failing ?? []),
      ...this.#holder.failing,
    ]);
  }

  /** Milliseconds until the lease ends; undefined when it does not. */
  get leaseLeftMs(): number | undefined {
    return this.#holder.leftMs;
  }

  async #reconcile(): Promise<void> {
    const network = this.#network;
    if (!network) return;
    await network.reconcile();
    if (network !== this.#network) return;
    this.#judge(network);
    this.#followUnderlay(network);
    // The store may have failed when this network began, and answer its watch all the time.
    this.#confirm();
    // Again what was seen last: it may have come while the network was being started.
    if (this.watch.leases && !this.#isProvisional) this.#holder.check(this.watch.leases);
    const mustSelect = network.mustSelect && !this.readiness.reason('underlay');
    if (mustSelect || this.readiness.reason('peers')) this.#apply();
  }

  /** Looks at what the kernel told: the underlay may have moved, or someone touched what is ours. */
  #pollKernelEvents(): void {
    const network = this.#network;
    const events = this.#events.drain();
    if (!network || events.length === 0) return;
    const { underlay } = network.inputs;
    if (events.some(event => affectsUnderlay(event, underlay))) this.#followUnderlay(network);
    if (network.noteEvents(events)) void this.#reconcile();
  }

  #followUnderlay({ inputs: { underlay, config } }: Network): void {
    this.#underlay.look(underlay, () => this.#resolver.chooseUnderlay(config));
  }

  /** Asks for another network. `change` tells one change from the next; each is announced and acted on once. */
  async #restart(why: string, change = why): Promise<void> {
    if (this.#announcedChange === change) return;
    this.#announcedChange = change;
    this.#log.warn(`restarting the overlay, traffic is interrupted: ${why}`);
    await this.#recordEvent('Normal', 'RipstopRestart', why);
    this.#wanted = why;
    this.#requestRestart?.();
  }

  async #recordEvent(type: 'Normal' | 'Warning', reason: string, message: string): Promise<void> {
    const told = settled('events', () => this.store.recordEvent?.({ type, reason, message }));
    await Promise.race([told, pause(2000, this.#abort.signal)]);
  }

  async #end(): Promise<void> {
    this.probes.stop();
    await this.#stateDir.flush();
    await this.store
      .close()
      .catch(error => this.#log.warn(`the store did not close: ${describeError(error)}`));
    this.#events.close();
    this.#socket.close();
  }
}
