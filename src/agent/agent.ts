import { Backoff } from '../base/backoff.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EventSocket } from '../net/rtnetlink/events.ts';
import { listLinks } from '../net/rtnetlink/links.ts';
import { NetlinkSocket } from '../net/rtnetlink/socket.ts';
import { ConfigWatch, type StartStep } from './config-watch.ts';
import { Endpoints } from './endpoints.ts';
import { EventRecorder } from './event-recorder.ts';
import type { AgentOptions } from './inputs/options.ts';
import { type OverlayPlan, planOverlays } from './inputs/plan.ts';
import { InputResolver, type NetworkInputs } from './inputs/resolve.ts';
import { InputSource } from './inputs/source.ts';
import { StateDir } from './inputs/state-dir.ts';
import { UnderlayFollower } from './inputs/underlay-follower.ts';
import { affectsUnderlay } from './kernel/events.ts';
import { FormerState } from './kernel/former-state.ts';
import { LeaseClient } from './lease/client.ts';
import { describeSubnets } from './lease/lease.ts';
import type { LeaseStore } from './lease/store.ts';
import { neighbourhoodOf } from './neighbourhood.ts';
import { Network } from './overlay/network.ts';
import { emptyRepairCounts } from './overlay/repair-counts.ts';
import { dropStaleDevices, recordDevices } from './overlay/stale-devices.ts';
import { PodRegistry } from './pod-registry.ts';
import { monitorOf, type PeerMonitor } from './probe/peer-monitor.ts';
import { type OffloadProofs, proofsOf } from './proof/offload-proofs.ts';
import { announceReady, Readiness } from './readiness.ts';
import { type RecorderWatch, recorderOf } from './recorder/recorder-watch.ts';
import { RestartRequests } from './restart-requests.ts';
import { StartFault } from './start-fault.ts';
import { StoreWatch } from './store/store-watch.ts';
import { TAKEOVER_MS, takeOver } from './take-over.ts';
import { UncaughtRecord } from './uncaught-record.ts';

/** Interval at which the events of the kernel are read, ms: foreign changes are repaired after at most this time. */
const EVENTS_MS = 500;
const RENEW_CHECK_MS = 15_000;

/**
 * The node agent: acquires a lease, follows the leases of the other nodes, and keeps this node's overlay accordingly. One
 * `Network` at a time does the work; this class decides when it is replaced.
 */
export class Agent {
  readonly options: AgentOptions;
  readonly store: LeaseStore;
  readonly readiness = new Readiness(() => announceReady(this.#log, this.store, this.#network?.inputs.lease));
  readonly repairs = emptyRepairCounts();
  readonly probes: PeerMonitor;
  readonly proofs: OffloadProofs;
  readonly recorder: RecorderWatch;
  readonly endpoints: Endpoints;
  readonly uncaught: UncaughtRecord;
  readonly pods: PodRegistry;
  readonly watch: StoreWatch;
  readonly #log: Log;
  readonly #stateDir: StateDir;
  readonly #socket: NetlinkSocket;
  readonly #kernelEvents: EventSocket;
  readonly #events: EventRecorder;
  readonly #abort = new AbortController();
  readonly lease: LeaseClient;
  readonly #resolver: InputResolver;
  readonly source: InputSource;
  readonly #underlay: UnderlayFollower;
  readonly #config: ConfigWatch;
  readonly #former = new FormerState();
  #network: Network | undefined;
  readonly #fault: StartFault;
  #isConfirming = false;
  readonly #restarts: RestartRequests;
  #startStep: StartStep | undefined;
  #timers: NodeJS.Timeout[] = [];
  #networkStarts = 0;

  constructor(options: AgentOptions, store: LeaseStore, log: Log) {
    this.options = options;
    this.store = store;
    this.#log = log;
    this.endpoints = new Endpoints(log);
    this.uncaught = new UncaughtRecord(options.stateDir);
    this.pods = new PodRegistry(options.stateDir, text => log.warn(text));
    this.pods.observe(owners => void this.#network?.overlays.map(one => one.flows?.retire(owners)));
    this.watch = new StoreWatch(store, log);
    this.#events = new EventRecorder(store);
    this.#fault = new StartFault(this.readiness, this.#events, log);
    this.#restarts = new RestartRequests(log);
    this.#stateDir = new StateDir(options.stateDir);
    this.#socket = new NetlinkSocket({ netns: options.netns });
    this.pods.reconcile(new Set(listLinks(this.#socket).map(({ name }) => name)));
    this.lease = new LeaseClient(store, options.renewMarginMs, log, this.#abort.signal, {
      held: () => {
        this.source.isProvisional = false;
        this.watch.reached();
        this.readiness.setTrue('identity');
        this.#save();
      },
      renewed: () => this.#save(),
      lost: error => this.readiness.setFalse('identity', describeError(error)),
      moved: lease =>
        this.#restarts.request(
          `the subnet is now ${describeSubnets(lease)}: running pods keep their addresses`,
        ),
    });
    this.#resolver = new InputResolver(options, store, this.#stateDir, this.#socket, log, {
      holds: (config, text) => this.#config.holds(config, text),
      openDevices: () => this.#network?.overlays.flatMap(({ plan }) => plan.device ?? []) ?? [],
    });
    this.source = new InputSource({ resolver: this.#resolver, lease: this.lease, watch: this.watch, log });
    this.#underlay = new UnderlayFollower({
      readiness: this.readiness,
      log,
      links: () => this.#resolver.links(),
      move: why => {
        if (!this.#restarts.has(why)) this.store.reconnect?.();
        this.#restarts.request(why);
      },
    });
    this.#config = new ConfigWatch({
      store,
      resolver: this.#resolver,
      lease: this.lease,
      log,
      network: () => this.#network,
      startStep: () => this.#startStep,
      neighbourhood: () => neighbourhoodOf(this),
      restart: (why, change) => this.#restarts.request(why, change),
      takenUp: () => {
        this.watch.rememberListed();
        this.#apply();
      },
      warn: message => this.#events.record('Warning', 'BadConfiguration', message),
    });
    this.probes = monitorOf(this, this.#events, log);
    this.proofs = proofsOf(this, this.#events, log);
    this.recorder = recorderOf(this, this.#events, log);
    this.#kernelEvents = new EventSocket(options.netns, ['link', 'address', 'route', 'neighbour']);
  }

  get network(): Network | undefined {
    return this.#network;
  }

  /** Starts of a network; every one after the first interrupted traffic. */
  get networkStarts(): number {
    return this.#networkStarts;
  }

  /**
   * Runs until `stop`. A failure is in `readiness` or `failing`, and tried again.
   * @throws RipstopError, NetError with `exitOnFailure`, when the first start fails
   */
  async run(): Promise<void> {
    const backoff = new Backoff(500, 10_000);
    let failures = 0;
    // Why the network must be started again; kept while attempts fail.
    let why: string | undefined;
    this.probes.start();
    this.proofs.start();
    this.recorder.start();
    while (!this.#abort.signal.aborted) {
      const began = performance.now();
      try {
        why = this.#restarts.take() ?? why;
        this.#startStep = 'reading';
        const inputs = await this.source.next(failures);
        this.#startStep = 'opening';
        this.#config.resolved(inputs, !this.source.isProvisional);
        const plans = planOverlays(inputs);
        const network = this.#network;
        if (network?.isCompatibleWith(inputs, plans)) await this.#goOn(network, inputs);
        else {
          // The present network carries traffic until here, also while the inputs have a fault.
          if (network && why !== undefined) {
            this.#log.warn(`restarting the overlay, traffic is interrupted: ${why}`);
            this.#events.record('Normal', 'RipstopRestart', why);
          }
          const next = await this.#prepareNetwork(inputs, plans);
          await this.#stopNetwork(plans);
          await this.#startNetwork(next);
        }
        this.#startStep = undefined;
        this.#fault.clear();
        failures = 0;
        why = undefined;
        backoff.reset();
        await this.#restarts.wait(this.#abort.signal);
      } catch (error) {
        this.#startStep = undefined;
        if (this.#abort.signal.aborted) break;
        if (this.options.exitOnFailure && this.#networkStarts === 0) {
          await this.#stopNetwork();
          await this.#end();
          throw error;
        }
        failures++;
        this.#fault.note(error, this.#network !== undefined);
        // What another process has may be free at any moment, and that attempt has waited long enough.
        if (performance.now() - began < TAKEOVER_MS) await backoff.wait(this.#abort.signal);
      }
    }
    await this.#stopNetwork();
    await this.#end();
  }

  /** Ends the agent. Lease, rules and subnet.env stay for the next start. */
  stop(): void {
    this.#abort.abort();
    this.#restarts.wake();
  }

  /** Reads the network configuration again (SIGHUP) and applies what changed. */
  reload(): Promise<void> {
    return this.#config.reload();
  }

  /** Prepares a network, while the present one, or another program, still carries the packets. */
  async #prepareNetwork(inputs: NetworkInputs, plans: readonly OverlayPlan[]): Promise<Network> {
    if (!this.watch.leases) this.#watchStore(inputs.lease.key);
    await this.watch.firstLeases(this.#abort.signal);
    const devices = await recordDevices(this.#socket, this.#stateDir, plans, this.#log);
    const known = { leases: this.watch.leases ?? new Map(), refused: this.source.refused, devices };
    const host = { options: this.options, repairs: this.repairs, former: this.#former, log: this.#log };
    return Network.prepare(inputs, plans, host, known);
  }

  async #startNetwork(network: Network): Promise<void> {
    await takeOver(network, {
      signal: this.#abort.signal,
      hasPeers: () => this.watch.leases !== undefined,
      mayWait: () => !this.options.exitOnFailure && !this.#restarts.isPending,
      failed: error => this.#fault.note(error, false),
    });
    const { inputs } = network;
    this.#network = network;
    this.#followUnderlay(network);
    // The known peers come first, so that packets flow again before the rest of the start.
    if (this.watch.leases) this.#apply();
    this.#networkStarts++;
    this.#restarts.settled();
    this.#hold(inputs);
    this.#watchStore(inputs.lease.key);
    this.#timers = [
      setInterval(() => void this.#reconcile(), this.options.resyncMs),
      setInterval(() => this.#pollKernelEvents(), EVENTS_MS),
      setInterval(() => void this.lease.renewWhenDue(), RENEW_CHECK_MS),
    ];
    await network.start();
    this.#judge(network);
    await dropStaleDevices(this.#socket, this.#stateDir, network.overlays, this.#log);
    this.readiness.setTrue('overlay');
  }

  /** The present network has the inputs of the next one, for instance because a configuration was restored. */
  async #goOn(network: Network, inputs: NetworkInputs): Promise<void> {
    this.#restarts.settled();
    this.#hold(inputs);
    await network.takeUp(inputs);
    this.#apply();
  }

  #hold({ config, lease }: NetworkInputs): void {
    if (!this.source.isProvisional) {
      this.lease.hold(config, lease);
      this.readiness.setTrue('identity');
    }
    this.#save();
  }

  /** Parts of the network that fail make the node not ready until they work again. */
  #judge({ reconcileErrors }: Network): void {
    for (const reason of this.readiness.update(reconcileErrors))
      this.#events.record('Warning', 'RipstopNotReady', reason);
  }

  /** Stops the network. What the next one does not use is removed; the rest carries traffic until the next one starts. */
  async #stopNetwork(next?: readonly OverlayPlan[]): Promise<void> {
    const network = this.#network;
    if (!network) return;
    for (const timer of this.#timers) clearInterval(timer);
    this.#network = undefined;
    this.lease.release();
    this.#underlay.reset();
    this.readiness.setFalse('overlay', 'the overlay is being started');
    await network.stop(next ?? (this.options.keepState ? undefined : []));
  }

  #watchStore(own: string): void {
    this.watch.follow(own, {
      leases: (all, changed) => {
        this.#apply(changed);
        if (!this.source.isProvisional) this.lease.check(all);
      },
      config: text => this.#config.changed(text),
      up: () => this.#confirm(),
      emptied: message => this.#events.record('Warning', 'StoreEmptied', message),
      conflict: error => {
        this.readiness.setFalse('identity', describeError(error));
        this.#log.error(describeError(error));
        this.#events.record('Warning', 'AddressInUse', describeError(error));
        void this.lease.reacquire('the address was contested');
      },
    });
  }

  /** The store answers: it confirms the saved state, or belongs to another cluster. */
  #confirm(): void {
    const inputs = this.#network?.inputs;
    if (!this.source.isProvisional || !this.watch.isUp || !inputs || this.#isConfirming) return;
    this.#isConfirming = true;
    const confirm = async (): Promise<void> => {
      const storeDisagrees = await this.#resolver.storeDisagrees();
      if (this.#network?.inputs !== inputs) return; // another network has started from the store
      if (storeDisagrees)
        this.#restarts.request('this node was registered again while the store was unreachable');
      else await this.lease.reacquire('the saved state is confirmed', inputs);
    };
    void confirm().finally(() => {
      this.#isConfirming = false;
    });
  }

  /** Applies the leases, of which `changed` changed (undefined: any). The next comparison tries again what fails. */
  #apply(changed?: ReadonlySet<string>): void {
    const network = this.#network;
    if (!network || !this.watch.leases) return;
    try {
      const news = network.update(this.watch.leases, changed);
      this.source.refused = network.refused;
      // The kernel's events about this change must not be compared with the next one.
      this.#pollKernelEvents();
      if (news) this.#events.record('Warning', 'RipstopLeaseRefused', news);
      this.readiness.setTrue('peers');
    } catch (error) {
      if (this.options.exitOnFailure && this.#networkStarts === 0) throw error;
      const text = describeError(error);
      if (this.readiness.setFalse('peers', text)) this.#log.error(`cannot apply the peers: ${text}`);
    }
    this.#save();
  }

  /** Saves the state for the next start. */
  #save(): void {
    if (this.lease.lease) this.#resolver.save(this.lease.lease, this.watch, this.source.refused);
  }

  /** What fails at the moment, with the reason, and what waits. */
  get faults() {
    const { fault: configuration, waiting } = this.#config;
    return { overlay: this.#network && this.#fault.text, configuration, waiting };
  }

  async #reconcile(): Promise<void> {
    const network = this.#network;
    if (!network) return;
    await network.reconcile();
    if (network !== this.#network) return;
    this.#judge(network);
    this.#followUnderlay(network);
    this.#config.retry();
    // The store may have failed only when this network started, so that its watch reports no change.
    this.#confirm();
    // The last leases may have arrived while the network was being started.
    if (this.watch.leases && !this.source.isProvisional) this.lease.check(this.watch.leases);
    const mustSelect = network.mustSelect && !this.readiness.reason('underlay');
    if (mustSelect || this.readiness.reason('peers')) this.#apply();
  }

  /** Reads the kernel's events: the underlay may have changed, or another program changed our state. */
  #pollKernelEvents(): void {
    const network = this.#network;
    const events = this.#kernelEvents.drain();
    if (!network || events.length === 0) return;
    const { underlay } = network.inputs;
    if (events.some(event => affectsUnderlay(event, underlay))) this.#followUnderlay(network);
    if (network.noteEvents(events)) void this.#reconcile();
  }

  #followUnderlay({ inputs: { underlay, config } }: Network): void {
    this.#underlay.look(underlay, () => this.#resolver.chooseUnderlay(config));
  }

  async #end(): Promise<void> {
    this.probes.stop();
    this.proofs.stop();
    // Before what waits for a disk or a server: the process may be killed meanwhile.
    if (!this.options.keepState)
      for (const failure of this.#former.restore(this.#socket))
        this.#log.warn(`cannot restore the former kernel state: ${describeError(failure)}`);
    await this.recorder.stop();
    await this.#stateDir.flush();
    await this.pods.flush();
    await this.store
      .close()
      .catch(error => this.#log.warn(`cannot close the store: ${describeError(error)}`));
    this.#kernelEvents.close();
    this.#socket.close();
  }
}
