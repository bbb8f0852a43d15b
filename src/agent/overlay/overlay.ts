import { RipstopError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import { FlowMonitor } from '../../capture/flows/flow-monitor.ts';
import { CaptureHub } from '../../capture/live/capture-hub.ts';
import { type CounterSnapshot, DataPlane } from '../../dataplane/dataplane.ts';
import type { Peer, PeerChanges } from '../../dataplane/descriptor/peer.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { changeLink, deleteLink, findLink, type Link } from '../../net/rtnetlink/links.ts';
import type { BackendConfig } from '../config/backend.ts';
import type { Settings } from '../config/settings.ts';
import { isCarriedHere, type OverlayPlan } from '../inputs/plan.ts';
import type { Underlay } from '../inputs/underlay.ts';
import type { KernelChange } from '../kernel/change.ts';
import { baseState, type OverlaySpec } from '../kernel/desired.ts';
import { EntryBook } from '../kernel/entry-book.ts';
import type { FormerState } from '../kernel/former-state.ts';
import { KernelReconciler } from '../kernel/reconciler.ts';
import type { DesiredState, ObservedRoute, OwnershipScope } from '../kernel/state.ts';
import { overlaySpec } from './overlay-spec.ts';

export interface OverlayOptions {
  readonly netns: string;
  /** Who carries vxlan; udp is always ours, host-gw the kernel's. */
  readonly dataPlane: 'userspace' | 'kernel';
  readonly settings: Settings;
  /** The device outlives the process: addresses, routes and neighbours wait for the next start of the agent. */
  readonly keepState: boolean;
  /** Names of the devices that agents of this node made: one that does not fit is made anew. */
  readonly ownDevices: readonly string[];
  /** Receives what is changed of others. */
  readonly former: FormerState;
  readonly log: Log;
}

/** The longest time between two comparisons of all entries of peers, ms. */
const COMPARE_MS = 60_000;
/** linux/if.h: the carrier of a TUN or TAP is on while a process holds a queue of it. */
const IFF_LOWER_UP = 0x10000;

/**
 * One overlay at work: the data plane where it is ours, and the kernel state that leads pod traffic to it. Says nothing
 * about leases; whoever holds it gives it peers.
 */
export class Overlay {
  readonly plan: OverlayPlan;
  readonly #backend: BackendConfig;
  readonly #underlay: Underlay;
  readonly #options: OverlayOptions;
  readonly #kernel: KernelReconciler;
  #plane: DataPlane | undefined;
  #capture: CaptureHub | undefined;
  #flows: FlowMonitor | undefined;
  readonly #peers: Map<string, Peer>;
  /** The same as a list, made when somebody asks. */
  #list: readonly Peer[] | undefined;
  readonly #book: EntryBook;
  /**
   * The kernel may have something else than the book: only a look at all of it tells. A refused entry is none of it:
   * comparisons try it again, and changes of other peers cost what they cost without it.
   */
  #mustCompare = true;
  /** When all of it was compared last, monotonic ms. */
  #comparedAt = Number.NEGATIVE_INFINITY;
  #deviceIndex: number | undefined;
  /** Restarts of the whole data plane, because its device was taken away. */
  #rebuilt = 0;

  private constructor(
    plan: OverlayPlan,
    backend: BackendConfig,
    underlay: Underlay,
    options: OverlayOptions,
    peers: readonly Peer[],
  ) {
    this.plan = plan;
    this.#peers = new Map(peers.map(peer => [peer.id, peer]));
    this.#backend = backend;
    this.#underlay = underlay;
    this.#options = options;
    this.#book = new EntryBook(this.#spec(), peers);
    this.#kernel = new KernelReconciler(options.netns, this.#territory, options.former);
  }

  /**
   * Opens the data plane; the kernel state follows with the first `change`.
   * @param peers those that are known already
   * @throws RipstopError, NetError
   */
  static async start(
    plan: OverlayPlan,
    backend: BackendConfig,
    underlay: Underlay,
    options: OverlayOptions,
    peers: readonly Peer[],
  ): Promise<Overlay> {
    const overlay = new Overlay(plan, backend, underlay, options, peers);
    try {
      await overlay.#open();
      return overlay;
    } catch (error) {
      overlay.#kernel.close();
      throw error;
    }
  }

  /** True when Ripstop itself carries the packets. */
  get isUserspace(): boolean {
    return isCarriedHere(this.plan, this.#options.dataPlane);
  }

  get peers(): readonly Peer[] {
    this.#list ??= [...this.#peers.values()];
    return this.#list;
  }

  get offloads(): Readonly<Record<string, string>> | undefined {
    return this.#plane?.offloads;
  }

  /** Undefined where the kernel carries the packets. */
  get plane(): DataPlane | undefined {
    return this.#plane;
  }

  /** Captures of the data plane, undefined where the kernel carries the packets. */
  get capture(): CaptureHub | undefined {
    return this.#capture;
  }

  /** Flow table of the data plane, undefined where the kernel carries the packets. */
  get flows(): FlowMonitor | undefined {
    return this.#flows;
  }

  get rebuilt(): number {
    return this.#rebuilt;
  }

  /** True while the kernel may have something else than is wanted, or refused it: the next comparison looks at all of it. */
  get mustCompare(): boolean {
    return this.#mustCompare || this.#kernel.refusals.size > 0;
  }

  get peerCount(): number {
    return this.#peers.size;
  }

  /** A peer by its id. */
  peer(id: string): Peer | undefined {
    return this.#peers.get(id);
  }

  /** Peers that the tables or the kernel did not take, with the reason; the others are not touched by it. */
  get refused(): ReadonlyMap<string, string> {
    const refused = new Map<string, string>();
    for (const [step, error] of this.#kernel.refusals) {
      const id = this.#book.peerOf(step);
      if (id !== undefined) refused.set(id, error.message);
    }
    for (const [id, error] of this.#plane?.refused ?? []) refused.set(id, error.message);
    return refused;
  }

  /** What the kernel was asked for since the start. */
  get work(): KernelReconciler['work'] {
    return this.#kernel.work;
  }

  /**
   * Changes some peers, at a cost that does not depend on how many others there are. The first call lays out everything.
   * @returns the kernel changes made
   * @throws RipstopError, NetError when the device is gone; the next comparison makes up for it
   */
  change({ set, removed }: PeerChanges): KernelChange[] {
    const steps = this.#book.change({ set, removed });
    for (const id of removed) this.#peers.delete(id);
    for (const peer of set) this.#peers.set(peer.id, peer);
    this.#list = undefined;
    let isPublished = false;
    const publish = (): void => {
      if (isPublished) return;
      isPublished = true;
      this.#plane?.changePeers({ set, removed });
    };
    try {
      if (!this.#mustCompare && this.#kernel.change(steps, publish)) return steps;
      return this.#compareAll(publish);
    } catch (error) {
      this.#mustCompare = true;
      publish();
      throw error;
    }
  }

  /** Looks at everything in the kernel that is of this overlay and mends it. */
  #compareAll(publish?: () => void): KernelChange[] {
    const steps = this.#kernel.apply(this.desired(), publish);
    this.#mustCompare = false;
    this.#comparedAt = performance.now();
    this.#noteDevice();
    return steps;
  }

  #noteDevice(): void {
    const { device } = this.plan;
    this.#deviceIndex = device === undefined ? undefined : findLink(this.#kernel.socket, device)?.index;
  }

  /** Takes note of what the kernel tells. @returns true when something is not as it should be */
  noteEvent(event: NetEvent): boolean {
    const isOurs =
      event.kind === 'link'
        ? event.link.name === this.plan.device
        : event.kind === 'lost' || this.#book.contradicts(event, this.#territory, this.#deviceIndex);
    if (isOurs) this.#mustCompare = true;
    return isOurs;
  }

  get #territory(): OwnershipScope {
    return { device: this.plan.device, networks: this.plan.networks };
  }

  /**
   * Compares the kernel with what it should be and mends it; opens the data plane again when its device is gone. The
   * entries of peers are read when an event told of a foreign change of them, and once a minute.
   * @returns the changes made
   */
  async reconcile(): Promise<KernelChange[]> {
    if (this.isUserspace && !this.#hasDevice()) {
      this.#options.log.warn(
        { device: this.plan.device },
        'the overlay device is gone: starting the data plane again',
      );
      await this.#plane?.stop();
      await this.#open();
      this.#rebuilt++;
      return this.#compareAll();
    }
    // Changes of the kernel's own forwarding entries are not among the events.
    const isBlind = this.plan.mode === 'vxlan' && !this.isUserspace;
    const isDue = performance.now() - this.#comparedAt >= COMPARE_MS;
    if (!this.mustCompare && !isBlind && !isDue && this.#kernel.isBaseRight(baseState(this.#spec())))
      return [];
    return this.#compareAll();
  }

  /** The changes that `reconcile` would make. */
  pending(): KernelChange[] {
    return this.#kernel.plan(this.desired());
  }

  /** Destinations of peers that stay with another interface, because it is connected to a network of that range. */
  connected(): ObservedRoute[] {
    return this.#kernel.connected(this.desired());
  }

  desired(): DesiredState {
    return { ...baseState(this.#spec()), ...this.#book.entries };
  }

  counters(): CounterSnapshot | undefined {
    return this.#plane?.counters();
  }

  /**
   * Ends the data plane. With the kernel's data plane, or plain routes, traffic goes on: another start takes over.
   * @param remove take everything away as well
   */
  async stop(remove = false): Promise<void> {
    await this.#plane?.stop();
    this.#plane = undefined;
    this.#capture = undefined;
    this.#flows = undefined;
    if (remove) {
      for (const failure of this.#kernel.removeRoutes())
        this.#options.log.warn({ err: String(failure) }, 'cannot remove a route');
      if (this.plan.device) deleteLink(this.#kernel.socket, this.plan.device);
    }
    this.#kernel.close();
  }

  async #open(): Promise<void> {
    const { plan } = this;
    const { netns, log, keepState, settings, dataPlane } = this.#options;
    if (!isCarriedHere(plan, dataPlane)) return;
    this.#clearName(plan.device);
    const given = this.peers;
    const plane = await DataPlane.start({
      mode: plan.mode,
      netns,
      deviceName: plan.device,
      driver: settings.driver,
      persistent: keepState && settings.driver === 'native',
      address: plan.address,
      port: plan.port,
      vni: plan.vni,
      mac: plan.mac,
      mtu: plan.mtu,
      underlayMtu: this.#underlay.mtu,
      flood: settings.flood,
      sourceCheck: settings.sourceCheck === 'strict',
      acceptPartialChecksums: this.#acceptsPartial(),
      offloads: settings.offloads,
      queues: settings.workers,
      sourcePorts: settings.sourcePorts,
      busyPollMicroseconds: settings.busyPollMicroseconds,
      peers: given,
      log: componentLog(log, 'dataplane'),
    });
    try {
      // The package names its device itself.
      const made =
        plane.deviceName === plan.device ? undefined : findLink(this.#kernel.socket, plane.deviceName);
      if (made) changeLink(this.#kernel.socket, made.index, { name: plan.device });
      this.#capture = new CaptureHub(plane.taps);
      this.#flows = new FlowMonitor(plane.taps, plan.device);
      // Changes that came while its workers started went to the data plane before it.
      if (this.peers !== given) plane.setPeers(this.peers);
      if (settings.flowTable) this.flows?.keep();
      this.#plane = plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  #hasDevice(): boolean {
    const { device } = this.plan;
    return device !== undefined && findLink(this.#kernel.socket, device)?.kind === 'tun';
  }

  /**
   * A name that our own kernel data plane or flanneld left is replaced, and a persistent device of ours is opened again,
   * or made anew where it has another shape than the settings want; any other device is not touched.
   * @throws RipstopError EINUSE
   */
  #clearName(device: string): void {
    const { keepState, log } = this.#options;
    const link = findLink(this.#kernel.socket, device);
    if (!link || (link.kind === 'tun' && keepState && this.#fits(link))) return;
    if (keepState && (link.kind === 'vxlan' || this.#isLeftOver(link))) {
      const what = link.kind === 'vxlan' ? 'the kernel VXLAN device' : 'the device of the former settings';
      log.info({ device }, `replacing ${what}`);
      deleteLink(this.#kernel.socket, device);
      return;
    }
    const kind = link.kind === 'tun' ? (link.details.tun?.mode ?? 'tun') : (link.kind ?? 'hardware');
    throw new RipstopError(
      'EINUSE',
      `device ${device}: the name is taken by a ${kind} device`,
      link.kind === 'tun'
        ? 'stop the program that holds it, or use another name'
        : `remove it (ip link del ${device}), or use another name`,
    );
  }

  /** True when the data plane can open the device that is there. The kernel fixes at creation whether it has queues. */
  #fits({ details: { tun } }: Link): boolean {
    const { driver, workers } = this.#options.settings;
    return driver === 'native' && tun?.multiQueue === workers > 1;
  }

  /** True for a persistent device that an agent of this node made, and that no process holds. */
  #isLeftOver({ name, flags, details: { tun } }: Link): boolean {
    return (
      tun?.persistent === true && (flags & IFF_LOWER_UP) === 0 && this.#options.ownDevices.includes(name)
    );
  }

  #acceptsPartial(): boolean {
    const { partialChecksums } = this.#options.settings;
    if (partialChecksums !== 'auto') return partialChecksums === 'accept';
    // The other end of a veth is on this host, where a kernel peer leaves checksums to a card that does not exist.
    return findLink(this.#kernel.socket, this.#underlay.name)?.kind === 'veth';
  }

  #spec(): OverlaySpec {
    const { txQueueLength } = this.#options.settings;
    return overlaySpec({
      plan: this.plan,
      backend: this.#backend,
      underlay: this.#underlay,
      isUserspace: this.isUserspace,
      txQueueLength,
    });
  }
}
