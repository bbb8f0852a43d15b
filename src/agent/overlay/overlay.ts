import { RipstopError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import { FlowMonitor } from '../../capture/flows/flow-monitor.ts';
import { CaptureHub } from '../../capture/live/capture-hub.ts';
import { type CounterSnapshot, DataPlane } from '../../dataplane/dataplane.ts';
import type { Peer, PeerChanges } from '../../dataplane/descriptor/peer.ts';
import { requirePrefix } from '../../ip/prefix.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { changeLink, deleteLink, findLink, type Link } from '../../net/rtnetlink/links.ts';
import type { BackendConfig } from '../config/backend.ts';
import type { Settings } from '../config/settings.ts';
import { IFF_LOWER_UP } from '../inputs/busy-devices.ts';
import { isCarriedHere, type OverlayPlan } from '../inputs/plan.ts';
import type { Underlay } from '../inputs/underlay.ts';
import type { KernelChange } from '../kernel/change.ts';
import { baseState, type OverlaySpec, overlaySpec } from '../kernel/desired.ts';
import { EntryBook } from '../kernel/entry-book.ts';
import type { FormerState } from '../kernel/former-state.ts';
import { KernelReconciler } from '../kernel/reconciler.ts';
import { ownershipScope } from '../kernel/scope.ts';
import type { DesiredState, ObservedRoute, OwnershipScope } from '../kernel/state.ts';
import { mtuTowardsPods } from './pod-mtu.ts';
import { withPortOwner } from './port-owner.ts';
import { RecentDrops } from './recent-drops.ts';

export interface OverlayOptions {
  readonly netns: string;
  /** What carries vxlan. The data plane of udp is always Ripstop's, that of host-gw the kernel's. */
  readonly dataPlane: 'userspace' | 'kernel';
  readonly settings: Settings;
  /** The device stays after the process ends, with addresses, routes and neighbours, for the next start of the agent. */
  readonly keepState: boolean;
  /** Names of the devices that agents of this node made: a device that does not fit is replaced. */
  readonly ownDevices: readonly string[];
  /** Pod networks of an earlier configuration: routes of ours into them are stale. */
  readonly formerNetworks: readonly string[];
  /** Networks behind this node that are no pods may be reached through it: a static file may list such. */
  readonly isRelay?: boolean;
  /** Receives what is changed of others. */
  readonly former: FormerState;
  readonly log: Log;
}

/** Longest time between two comparisons of all entries of peers, ms. */
const COMPARE_MS = 60_000;

/** A data plane of Ripstop with what reads from it. */
interface Carrier {
  readonly plane: DataPlane;
  readonly capture: CaptureHub;
  readonly flows: FlowMonitor;
}

/** One overlay at work: its data plane, and the kernel state that leads pod traffic to it. Its owner sets the peers. */
export class Overlay {
  readonly plan: OverlayPlan;
  readonly #backend: BackendConfig;
  readonly #underlay: Underlay;
  readonly #options: OverlayOptions;
  readonly #kernel: KernelReconciler;
  readonly #drops = new RecentDrops(() => this.counters()?.verdicts);
  #carrier: Carrier | undefined;
  readonly #peers: Map<string, Peer>;
  /** The same as a list, made on demand. */
  #list: readonly Peer[] | undefined;
  readonly #book: EntryBook;
  /**
   * The kernel state may differ from the book, so that the next change must compare all of it. A refused entry does not
   * count: comparisons try it again, and changes of other peers cost as little as before.
   */
  #mustCompare = true;
  /** When the whole kernel state was compared last, monotonic ms. */
  #comparedAt = Number.NEGATIVE_INFINITY;
  #deviceIndex: number | undefined;
  /** Restarts of the data plane because its device was deleted. */
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
      const explained = withPortOwner(error, overlay.#kernel.socket, plan.port ?? 0);
      overlay.#kernel.close();
      throw explained;
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

  /** Undefined where the kernel carries the packets, as `capture` and `flows`. */
  get plane(): DataPlane | undefined {
    return this.#carrier?.plane;
  }

  get capture(): CaptureHub | undefined {
    return this.#carrier?.capture;
  }

  get flows(): FlowMonitor | undefined {
    return this.#carrier?.flows;
  }

  get rebuilt(): number {
    return this.#rebuilt;
  }

  /** True while the kernel state may differ from the desired one, or the kernel refused an entry. */
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

  /** Peers that the tables or the kernel refused, with the reason. The other peers are not affected. */
  get refused(): ReadonlyMap<string, string> {
    const refused = new Map<string, string>();
    for (const [step, error] of this.#kernel.refusals) {
      const id = this.#book.peerOf(step);
      if (id !== undefined) refused.set(id, error.message);
    }
    for (const [id, error] of this.plane?.refused ?? []) refused.set(id, error.message);
    return refused;
  }

  get work(): KernelReconciler['work'] {
    return this.#kernel.work;
  }

  /**
   * Changes some peers, at a cost that does not depend on the number of other peers. The first call sets up everything.
   * @returns the kernel changes made
   * @throws RipstopError, NetError when the device is gone; the next comparison makes the changes then
   */
  change({ set, removed }: PeerChanges): KernelChange[] {
    this.#drops.start();
    const steps = this.#book.change({ set, removed });
    for (const id of removed) this.#peers.delete(id);
    for (const peer of set) this.#peers.set(peer.id, peer);
    this.#list = undefined;
    let isPublished = false;
    const publish = (): void => {
      if (isPublished) return;
      isPublished = true;
      this.plane?.changePeers({ set, removed });
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

  /** Compares and repairs the whole kernel state of this overlay. */
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

  /** @returns true when the event says that the kernel state of this overlay may differ from the desired one */
  noteEvent(event: NetEvent): boolean {
    const isOurs =
      event.kind === 'link'
        ? event.link.name === this.plan.device
        : event.kind === 'lost' || this.#book.contradicts(event, this.#territory, this.#deviceIndex);
    if (isOurs) this.#mustCompare = true;
    return isOurs;
  }

  get #territory(): OwnershipScope {
    const { keepState, formerNetworks } = this.#options;
    return ownershipScope(this.plan, this.#underlay.name, { fromFlannel: keepState, formerNetworks });
  }

  /**
   * Compares the kernel state with the desired one and repairs it; opens the data plane again when its device is gone.
   * Reads the entries of peers only after an event about a foreign change of them, and once per minute.
   * @returns the changes made
   */
  async reconcile(): Promise<KernelChange[]> {
    this.#followPods();
    if (this.isUserspace && !this.#hasDevice()) {
      this.#options.log.warn(
        { device: this.plan.device },
        'the overlay device is gone: starting the data plane again',
      );
      await this.plane?.stop();
      await this.#open();
      this.#rebuilt++;
      return this.#compareAll();
    }
    // The events do not contain changes of the kernel's own forwarding entries.
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

  /** Destinations of peers that another interface is connected to: their routes are not set. */
  connected(): ObservedRoute[] {
    return this.#kernel.connected(this.desired());
  }

  desired(): DesiredState {
    return { ...baseState(this.#spec()), ...this.#book.entries };
  }

  counters(): CounterSnapshot | undefined {
    return this.plane?.counters();
  }

  /** Frames dropped in the last ten minutes by verdict, without those of the start. */
  recentDrops(): CounterSnapshot['verdicts'] {
    return this.#drops.counts();
  }

  /**
   * Ends the data plane. Traffic that the kernel carries continues.
   * @param remove also remove routes and device
   */
  async stop(remove = false): Promise<void> {
    this.#drops.stop();
    await this.plane?.stop();
    this.#carrier = undefined;
    if (remove) {
      for (const failure of this.#kernel.removeRoutes(this.desired()))
        this.#options.log.warn({ err: String(failure) }, 'cannot remove or restore a route');
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
      ownSubnets: this.#options.isRelay ? undefined : plan.subnets.map(requirePrefix),
      acceptPartialChecksums: this.#acceptsPartial(),
      offloads: settings.offloads,
      queues: settings.workers,
      sourcePorts: settings.sourcePorts,
      busyPollMicroseconds: settings.busyPollMicroseconds,
      peers: given,
      log: componentLog(log, 'dataplane'),
    });
    try {
      // The package node-tuntap2 names its device itself.
      const made = findLink(this.#kernel.socket, plane.deviceName);
      if (made && made.name !== plan.device)
        changeLink(this.#kernel.socket, made.index, { name: plan.device });
      const flows = new FlowMonitor(plane.taps, plan.device);
      // Changes that arrived while the workers started went to the previous data plane.
      if (this.peers !== given) plane.setPeers(this.peers);
      if (settings.flowTable) flows.keep();
      this.#carrier = { plane, capture: new CaptureHub(plane.taps), flows };
      this.#followPods();
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** Only GSO packets of kernel peers on this host are cut by what the devices of the pods take. */
  #followPods(): void {
    if (!this.plane || !this.#acceptsPartial()) return;
    this.plane.segmentMtu = mtuTowardsPods(this.#kernel.socket, this.plan);
  }

  #hasDevice(): boolean {
    const { device } = this.plan;
    return device !== undefined && findLink(this.#kernel.socket, device)?.kind === 'tun';
  }

  /**
   * Deletes a device of this name that flanneld or the kernel data plane left, or one of ours that does not fit the settings.
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

  /** True when the data plane can open the device. Whether it has several queues is fixed at its creation. */
  #fits({ details: { tun } }: Link): boolean {
    const { driver, workers } = this.#options.settings;
    return driver === 'native' && tun?.multiQueue === workers > 1;
  }

  /** True for a persistent device that an agent of this node made and that no process has open. */
  #isLeftOver({ name, flags, details: { tun } }: Link): boolean {
    return (
      tun?.persistent === true && (flags & IFF_LOWER_UP) === 0 && this.#options.ownDevices.includes(name)
    );
  }

  #acceptsPartial(): boolean {
    const { partialChecksums } = this.#options.settings;
    if (partialChecksums !== 'auto') return partialChecksums === 'accept';
    // The other end of a veth is on this host: a kernel peer there leaves checksums to hardware that does not exist.
    return findLink(this.#kernel.socket, this.#underlay.name)?.kind === 'veth';
  }

  #spec(): OverlaySpec {
    const { txQueueLength } = this.#options.settings;
    return overlaySpec(this.plan, this.#backend, this.#underlay, this.isUserspace, txQueueLength);
  }
}
