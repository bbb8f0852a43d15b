import { Backoff, pause } from '../base/backoff.ts';
import { settled } from '../base/boundary.ts';
import { describeError, type RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EventSocket } from '../net/rtnetlink/events.ts';
import { NetlinkSocket } from '../net/rtnetlink/socket.ts';
import { Beside } from './beside.ts';
import type { AgentOptions } from './inputs/options.ts';
import { deviceNames, planOverlays } from './inputs/plan.ts';
import { BasisFinder, type Remembered } from './inputs/resolve.ts';
import { Memory } from './inputs/state-dir.ts';
import { UnderlayFollower } from './inputs/underlay-follower.ts';
import { affectsUnderlay } from './kernel/events.ts';
import { LeaseHolder } from './lease/client.ts';
import type { Lease } from './lease/lease.ts';
import type { LeaseStore } from './lease/store.ts';
import { noRepairs, Session, type SessionBasis } from './overlay/network.ts';
import { dropStaleDevices } from './overlay/stale-devices.ts';
import { PeerProbes } from './probe/peer-monitor.ts';
import { Readiness } from './readiness.ts';
import { StoreWatch } from './store/store-watch.ts';

/** How often the kernel's events are looked at, ms: a foreign change heals within this time and a comparison. */
const EVENTS_MS = 500;
const RENEW_CHECK_MS = 15_000;
/** Tries to reach the store at start before the last known state is taken. */
const PATIENCE = 2;

/**
 * The node agent: takes a lease, follows the leases of all others, and keeps this node's overlay as they say. One
 * `Session` at a time does the work; this class decides when there is another one.
 */
export class Agent {
  readonly options: AgentOptions;
  readonly store: LeaseStore;
  readonly readiness = new Readiness();
  readonly repairs = noRepairs();
  readonly probes: PeerProbes;
  readonly beside: Beside;
  readonly watch: StoreWatch;
  readonly #log: Log;
  readonly #memory: Memory;
  readonly #socket: NetlinkSocket;
  readonly #events: EventSocket;
  readonly #abort = new AbortController();
  readonly #holder: LeaseHolder;
  readonly #finder: BasisFinder;
  readonly #underlay: UnderlayFollower;
  #session: Session | undefined;
  /** Keys of leases that contradict those of peers. */
  #refused: ReadonlySet<string> = new Set();
  /** True while the lease comes from memory and the store has not confirmed it. */
  #isBorrowed = false;
  #isConfirming = false;
  /** Why another session is wanted. */
  #wanted: string | undefined;
  /** The last change that was announced, so that it is announced once. */
  #announced: string | undefined;
  #again: (() => void) | undefined;
  #timers: NodeJS.Timeout[] = [];
  #sessions = 0;

  constructor(options: AgentOptions, store: LeaseStore, log: Log) {
    this.options = options;
    this.store = store;
    this.#log = log;
    this.beside = new Beside(options.stateDir, log, this.readiness, () => this.#announce());
    this.watch = new StoreWatch(store, log);
    this.#memory = new Memory(options.stateDir);
    this.#socket = new NetlinkSocket({ netns: options.netns });
    this.#holder = new LeaseHolder(store, options.renewMarginMs, log, this.#abort.signal, {
      held: () => {
        this.#isBorrowed = false;
        this.watch.reached();
        this.readiness.has('identity');
        this.#remember();
      },
      renewed: () => this.#remember(),
      contested: error => this.readiness.lacks('identity', describeError(error)),
      moved: lease => void this.#restart(`the subnet is now ${lease.key}: running pods keep their addresses`),
    });
    this.#finder = new BasisFinder(options, store, this.#memory, this.#socket, this.#holder, log);
    this.#underlay = new UnderlayFollower({
      readiness: this.readiness,
      log,
      links: () => this.#finder.links(),
      usable: () => this.#announce(),
      move: why => {
        if (this.#announced !== why) this.store.reconnect?.();
        void this.#restart(why);
      },
    });
    this.probes = new PeerProbes(
      () => this.#session?.carriers ?? [],
      // Raw sockets are this process's own namespace's.
      options.netns === '' ? options.probeMs : 0,
      log,
      (type, message) => void this.#tell(type, 'RipstopPeers', message),
    );
    this.#events = new EventSocket(options.netns, ['link', 'address', 'route', 'neighbour']);
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get leases(): ReadonlyMap<string, Lease> {
    return this.watch.leases ?? new Map();
  }

  /** Sessions begun; every one after the first was an interruption. */
  get sessions(): number {
    return this.#sessions;
  }

  get isBorrowed(): boolean {
    return this.#isBorrowed;
  }

  /** Works until `stop`. Never fails for what may pass: it tries again and says why in `readiness`. */
  async run(): Promise<void> {
    const backoff = new Backoff(500, 10_000);
    let failures = 0;
    this.probes.start();
    while (!this.#abort.signal.aborted) {
      try {
        this.#wanted = undefined;
        const basis = await this.#basis(failures);
        // The former session carries traffic until here.
        await this.#retire(basis);
        await this.#begin(basis);
        failures = 0;
        backoff.reset();
        await this.#until();
      } catch (error) {
        if (this.#abort.signal.aborted) break;
        failures++;
        const text = describeError(error);
        if (this.readiness.lacks('overlay', text)) {
          this.#log.error({ code: (error as RipstopError).code }, `not working yet: ${text}`);
          await this.#tell('Warning', 'RipstopNotReady', text);
        }
        await backoff.wait(this.#abort.signal);
      }
    }
    await this.#retire();
    await this.#end();
  }

  /** Ends the agent. Lease, rules and subnet.env stay: the next life finds them. */
  stop(): void {
    this.#abort.abort();
    this.#again?.();
  }

  /** Reads the network configuration again (SIGHUP) and acts on what changed. */
  async reload(): Promise<void> {
    this.#log.info('reading the configuration again');
    try {
      this.#configChanged((await this.store.networkConfig()).text);
    } catch (error) {
      this.#log.error(`the configuration stays as it was: ${describeError(error)}`);
    }
  }

  /**
   * Everything that a session stands on. A process that starts goes on where a former life ended, and the store confirms
   * it when it can; after some failures the last known state stands in for a store that is away.
   */
  async #basis(failures: number): Promise<SessionBasis> {
    const isFirst = !this.watch.isFollowing && failures === 0;
    const former = isFirst ? await this.#finder.formerLife() : undefined;
    if (former) return this.#borrow(former, 'going on where a former life ended');
    try {
      const basis = await this.#finder.fromStore();
      this.watch.reached();
      this.#isBorrowed = false;
      return basis;
    } catch (error) {
      if ((error as RipstopError).code !== 'ESTORE') throw error;
      this.watch.unreachable();
      const known = failures >= PATIENCE ? await this.#finder.remembered() : undefined;
      if (!known) throw error;
      return this.#borrow(known, `carrying on with the last known state: ${describeError(error)}`);
    }
  }

  #borrow({ basis, leases, refused, kept }: Remembered, why: string): SessionBasis {
    this.#log.info({ lease: basis.lease.key }, why);
    if (!this.watch.leases) this.#refused = refused;
    this.watch.remember(leases, kept);
    this.#isBorrowed = true;
    return basis;
  }

  async #begin(basis: SessionBasis): Promise<void> {
    const names = deviceNames(basis.config.backend);
    await this.#memory
      .remember([names[4], names[6]].filter(name => name !== undefined))
      .catch(error => this.#log.warn(`device names cannot be saved for a restart: ${describeError(error)}`));
    const known = { leases: this.leases, refused: this.#refused };
    const session = await Session.open(basis, this.options, this.repairs, this.#log, known);
    this.#session = session;
    this.#followUnderlay(session);
    // What is known already comes first: packets flow again, whatever the rest of the start takes.
    if (this.watch.leases) this.#apply();
    this.#sessions++;
    this.#announced = undefined;
    if (!this.#isBorrowed) this.#holder.hold(basis.config, basis.lease);
    this.#follow(basis.lease.key);
    this.#timers = [
      setInterval(() => void this.#reconcile(), this.options.resyncMs),
      setInterval(() => this.#look(), EVENTS_MS),
      setInterval(() => void this.#holder.renewWhenDue(), RENEW_CHECK_MS),
    ];
    await session.settle();
    this.#judge(session);
    await dropStaleDevices(this.#socket, this.#memory, session.carriers, this.#log);
    if (this.readiness.has('overlay')) this.#announce();
  }

  /** Parts of the session that fail make the node not ready, and ready again when they hold. */
  #judge({ failing }: Session): void {
    const { isNews, reasons } = this.readiness.judge(failing);
    for (const reason of reasons) void this.#tell('Warning', 'RipstopNotReady', reason);
    if (isNews) this.#announce();
  }

  /** Resolves when another session is needed, or the agent ends. */
  async #until(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#again = resolve;
      // Asked for while the session was being started.
      if (this.#wanted !== undefined || this.#abort.signal.aborted) resolve();
    });
    this.#again = undefined;
  }

  /** Ends the session. What the next one has no use for is taken away, the rest carries traffic until it takes over. */
  async #retire(next?: SessionBasis): Promise<void> {
    const session = this.#session;
    if (!session) return;
    for (const timer of this.#timers) clearInterval(timer);
    this.#session = undefined;
    this.#holder.release();
    this.#underlay.reset();
    this.readiness.lacks('overlay', 'the overlay is being started');
    await session.stop(next && planOverlays(next.config, next.underlay, next.lease, next.macs));
  }

  #follow(own: string): void {
    this.watch.follow(own, {
      leases: (all, changed) => {
        this.#apply(changed);
        if (!this.#isBorrowed) this.#holder.check(all);
      },
      config: text => this.#configChanged(text),
      up: () => this.#confirm(),
      emptied: message => void this.#tell('Warning', 'StoreEmptied', message),
      conflict: error => {
        this.readiness.lacks('identity', describeError(error));
        this.#log.error(describeError(error));
        void this.#tell('Warning', 'AddressInUse', describeError(error));
        void this.#holder.claim('the address was contested');
      },
    });
  }

  /** The store answers: what is remembered of it holds, or is another cluster's. */
  #confirm(): void {
    const basis = this.#session?.basis;
    if (!this.#isBorrowed || !this.watch.isUp || !basis || this.#isConfirming) return;
    this.#isConfirming = true;
    const confirm = async (): Promise<void> => {
      const isContradicted = await this.#finder.isContradicted();
      if (this.#session?.basis !== basis) return; // another session has begun by what the store says
      if (isContradicted) await this.#restart('this node was registered anew while the store was away');
      else await this.#holder.claim('the last known state is confirmed', basis);
    };
    void confirm().finally(() => {
      this.#isConfirming = false;
    });
  }

  /** Gives the session the leases of which `changed` changed (undefined: any); the next comparison makes up for a failure. */
  #apply(changed?: ReadonlySet<string>): void {
    const session = this.#session;
    if (!session || !this.watch.leases) return;
    try {
      const news = session.update(this.watch.leases, changed);
      this.#refused = session.refused;
      // What the kernel tells of this change is compared with it now, not with the next one.
      this.#look();
      if (news) void this.#tell('Warning', 'RipstopLeaseRefused', news);
      if (this.readiness.has('peers')) this.#announce();
    } catch (error) {
      const text = describeError(error);
      if (this.readiness.lacks('peers', text)) this.#log.error(`the peers could not be applied: ${text}`);
    }
    this.#remember();
  }

  /** Keeps what is known for a start while the store is away. */
  #remember(): void {
    const { lease } = this.#holder;
    if (lease) this.#finder.remember(lease, this.watch, this.#refused);
  }

  #announce(): void {
    if (!this.readiness.isReady) return;
    this.#log.info('ready');
    this.store.ready?.(`pod subnet ${this.#session?.basis.lease.key ?? ''}`);
  }

  /** Parts of the session and writes to the store that do not hold at the moment, with the reason of each. */
  get failing(): ReadonlyMap<string, string> {
    return new Map<string, string>([
      ...(this.#session?.failing ?? []),
      ...(this.store.failing ?? []),
      ...this.#holder.failing,
    ]);
  }

  /** Milliseconds until the lease ends; undefined when it does not. */
  get leaseLeftMs(): number | undefined {
    return this.#holder.leftMs;
  }

  async #reconcile(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    await session.reconcile();
    if (session !== this.#session) return;
    this.#judge(session);
    this.#followUnderlay(session);
    // The store may have failed when this session began, and answer its watch all the time.
    this.#confirm();
    // Again what was seen last: it may have come while the session was being started.
    if (this.watch.leases && !this.#isBorrowed) this.#holder.check(this.watch.leases);
    const mustSelect = session.mustSelect && !this.readiness.reasonFor('underlay');
    if (mustSelect || this.readiness.reasonFor('peers')) this.#apply();
  }

  /** Looks at what the kernel told: the underlay may have moved, or someone touched what is ours. */
  #look(): void {
    const session = this.#session;
    const events = this.#events.drain();
    if (!session || events.length === 0) return;
    const { underlay } = session.basis;
    if (events.some(event => affectsUnderlay(event, underlay))) this.#followUnderlay(session);
    if (session.heed(events)) void this.#reconcile();
  }

  #followUnderlay({ basis: { underlay, config } }: Session): void {
    this.#underlay.look(underlay, () => this.#finder.chooseUnderlay(config));
  }

  #configChanged(text: string): void {
    if (text === this.#finder.config?.text) return;
    const session = this.#session;
    const { lease } = this.#holder;
    try {
      const config = this.#finder.parse(text);
      if (!session?.standsUnder(config, this.store.allocates) || !lease)
        return void this.#restart('the network configuration changed', text);
      this.#finder.follow(text);
      this.#holder.hold(config, lease);
      this.#log.info('the network configuration changed; traffic does not notice');
      void session.adopt(config);
    } catch (error) {
      this.#log.error(`the new network configuration is not taken up: ${describeError(error)}`);
      void this.#tell('Warning', 'BadConfiguration', describeError(error));
    }
  }

  /** Asks for another session. `change` tells one change from the next; each is announced and acted on once. */
  async #restart(why: string, change = why): Promise<void> {
    if (this.#announced === change) return;
    this.#announced = change;
    this.#log.warn(`traffic is interrupted for a moment: ${why}`);
    await this.#tell('Normal', 'RipstopRestart', why);
    this.#wanted = why;
    this.#again?.();
  }

  async #tell(type: 'Normal' | 'Warning', reason: string, message: string): Promise<void> {
    const told = settled('events', () => this.store.notify?.({ type, reason, message }));
    await Promise.race([told, pause(2000, this.#abort.signal)]);
  }

  async #end(): Promise<void> {
    this.probes.stop();
    await this.#memory.flush();
    await this.store
      .close()
      .catch(error => this.#log.warn(`the store did not close: ${describeError(error)}`));
    this.#events.close();
    this.#socket.close();
  }
}
