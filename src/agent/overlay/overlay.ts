import type { FlowMonitor } from '../../capture/flows/flow-monitor.ts';
import type { CaptureHub } from '../../capture/live/capture-hub.ts';
import type { FlightRecorder } from '../../capture/recorder/flight-recorder.ts';
import type { CounterSnapshot, DataPlane } from '../../dataplane/dataplane.ts';
import type { Peer, PeerChanges } from '../../dataplane/descriptor/peer.ts';
import type { NetEvent } from '../../net/rtnetlink/events.ts';
import { deleteLink, findLink } from '../../net/rtnetlink/links.ts';
import type { BackendConfig } from '../config/backend.ts';
import { isCarriedHere, type OverlayPlan } from '../inputs/plan.ts';
import type { Underlay } from '../inputs/underlay.ts';
import type { KernelChange } from '../kernel/change.ts';
import { baseState, type OverlaySpec, overlaySpec } from '../kernel/desired.ts';
import { EntryBook } from '../kernel/entry-book.ts';
import { KernelReconciler } from '../kernel/reconciler.ts';
import { ownershipScope } from '../kernel/scope.ts';
import type { DesiredState, ObservedRoute, OwnershipScope } from '../kernel/state.ts';
import { Carrier, type OverlayOptions } from './carrier.ts';
import { withPortOwner } from './port-owner.ts';
import { RecentDrops } from './recent-drops.ts';

/** Longest time between two comparisons of all entries of peers, ms. */
const COMPARE_MS = 60_000;

/** One overlay at work: its data plane, and the kernel state that leads pod traffic to it. Its owner sets the peers. */
export class Overlay {
  readonly plan: OverlayPlan;
  readonly #backend: BackendConfig;
  readonly #underlay: Underlay;
  readonly #options: OverlayOptions;
  readonly #kernel: KernelReconciler;
  readonly #drops = new RecentDrops(() => this.counters()?.verdicts);
  #carrier: Carrier | undefined;
  /** The next carrier, until it is open. */
  #prepared: Carrier | undefined;
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
   * Prepares the data plane, while another tunnel may still carry the packets. `open` follows.
   * @param peers those that are known already
   * @throws RipstopError, NetError
   */
  static async prepare(
    plan: OverlayPlan,
    backend: BackendConfig,
    underlay: Underlay,
    options: OverlayOptions,
    peers: readonly Peer[],
  ): Promise<Overlay> {
    const overlay = new Overlay(plan, backend, underlay, options, peers);
    try {
      await overlay.#prepare();
      return overlay;
    } catch (error) {
      overlay.#kernel.close();
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    const { plan } = this;
    if (!isCarriedHere(plan, this.#options.dataPlane)) return;
    const options = { ...this.#options, plan, underlay: this.#underlay, socket: this.#kernel.socket };
    this.#prepared ??= await Carrier.prepare(options, this.peers);
  }

  /**
   * Takes over device and port from what had them; the kernel state follows with the first `change`. After a failure it may
   * be called again.
   * @throws RipstopError, NetError
   */
  open(): void {
    if (!this.#prepared) return;
    try {
      this.#prepared.open(this.peers);
    } catch (error) {
      throw withPortOwner(error, this.#kernel.socket, this.plan.port ?? 0);
    }
    this.#carrier = this.#prepared;
    this.#prepared = undefined;
  }

  /** True when Ripstop itself carries the packets. */
  get isUserspace(): boolean {
    return isCarriedHere(this.plan, this.#options.dataPlane);
  }

  get peers(): readonly Peer[] {
    this.#list ??= [...this.#peers.values()];
    return this.#list;
  }

  /** Undefined where the kernel carries the packets, as `capture`, `flows` and `recorder`. */
  get plane(): DataPlane | undefined {
    return this.#carrier?.plane;
  }

  get capture(): CaptureHub | undefined {
    return this.#carrier?.capture;
  }

  get flows(): FlowMonitor | undefined {
    return this.#carrier?.flows;
  }

  /** Undefined also where it is off. */
  get recorder(): FlightRecorder | undefined {
    return this.#carrier?.recorder;
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
    this.#carrier?.removeFormer();
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
    const carrier = this.#carrier;
    carrier?.followPods();
    if (carrier && !carrier.hasDevice()) {
      this.#options.log.warn(
        { device: this.plan.device },
        'the overlay device is gone: starting the data plane again',
      );
      await this.#prepare();
      await carrier.stop();
      this.open();
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
    await this.#prepared?.stop();
    await this.#carrier?.stop();
    this.#carrier = undefined;
    if (remove) {
      for (const failure of this.#kernel.removeRoutes(this.desired()))
        this.#options.log.warn({ err: String(failure) }, 'cannot remove or restore a route');
      if (this.plan.device) deleteLink(this.#kernel.socket, this.plan.device);
    }
    this.#kernel.close();
  }

  #spec(): OverlaySpec {
    const { settings } = this.#options;
    return overlaySpec(this.plan, this.#backend, this.#underlay, this.isUserspace, settings);
  }
}
