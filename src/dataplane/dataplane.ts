import type { RipstopError } from '../base/errors.ts';
import { heapTrim } from '../base/memory/heap-trim.ts';
import { mappedBytesOf, requireAddress } from '../ip/address.ts';
import { native } from '../native/load.ts';
import { resetPeer } from './descriptor/counters.ts';
import { ACCEPT_PARTIAL, MERGE_TCP, MERGE_UDP } from './descriptor/native-arguments.ts';
import type { Peer, PeerChanges } from './descriptor/peer.ts';
import { readStats, type WorkerStats } from './descriptor/read-counters.ts';
import type { EgressConfig } from './fast-path/classify-egress.ts';
import type { IngressConfig } from './fast-path/classify-ingress.ts';
import { DryRunClassifier } from './fast-path/dry-run-classifier.ts';
import { forwarderConfig } from './forwarder-config.ts';
import { GrowingMemory } from './growth.ts';
import { checkAddonLayout } from './io/check-addon-layout.ts';
import { KernelCounters, type KernelCounts } from './io/kernel-counters.ts';
import { describeOffloads, type OffloadSwitches, type Offloads, probeOffloads } from './io/offloads.ts';
import { persistTun } from './io/tun.ts';
import { openUnderlay } from './io/udp.ts';
import { openDevice, openRaw } from './open-descriptors.ts';
import { type DataPlaneOptions, DEFAULT_CAPACITY } from './options.ts';
import { PeerSet } from './peer-set.ts';
import { PathMtus } from './slow-path/path-mtu.ts';
import { type CounterSnapshot, snapshot, verdictsOf } from './snapshot.ts';
import { type WorkerPlan, WorkerSupervisor } from './supervisor.ts';
import type { TableCapacity } from './tables/capacity.ts';
import { TablesWriter } from './tables/writer.ts';
import { TapRegistry } from './tap/registry.ts';
import type { WorkerReport } from './worker.ts';

export { VERDICTS } from './descriptor/verdicts.ts';
export { ALL_OFFLOADS } from './io/offloads.ts';
export type { DataPlaneOptions } from './options.ts';
export type { CounterSnapshot } from './snapshot.ts';

/** Datagrams per message: UDP_MAX_SEGMENTS is 64 before Linux 6.9 and 128 since. A refusal falls back to single datagrams. */
const SEGMENTS_PER_MESSAGE = 64;
/** Interval of the attempts to publish while a worker still reads the other half of the tables. */
const PUBLISH_RETRY_MS = 1;
const PATH_CHECK_MS = 10_000;
/** Smallest MTU of a device (RFC 791). */
const MTU_MIN = 68;

/**
 * The data plane as the control thread sees it: it opens device and sockets, starts the workers, publishes the peers and
 * reads the counters. It carries no packets.
 */
export class DataPlane {
  readonly deviceName: string;
  /** Capture points; `CaptureHub` and `FlowMonitor` read them. */
  readonly taps: TapRegistry;
  #offloads: Offloads;
  readonly #options: DataPlaneOptions;
  readonly #peers: PeerSet;
  readonly #writer: TablesWriter;
  readonly #memory: GrowingMemory;
  readonly #paths: PathMtus;
  readonly #configs: { readonly egress: EgressConfig; readonly ingress: IngressConfig };
  readonly #supervisor: WorkerSupervisor;
  readonly #kernelCounters: KernelCounters;
  readonly #queueFds: readonly number[];
  readonly #descriptors: number[];
  readonly #segmentMtu = new Int32Array(new SharedArrayBuffer(4));
  readonly #pathTimer: NodeJS.Timeout;
  #publishing: NodeJS.Timeout | undefined;
  #isStopping = false;

  /**
   * Opens everything and starts the workers. When it resolves, the device exists and is down.
   * @throws RipstopError EPRIV, ENODEVICE, EINUSE, EADDRNOTAVAIL, ECONFIG, ELAYOUT; nothing is left open then
   */
  static async start(options: DataPlaneOptions): Promise<DataPlane> {
    checkAddonLayout();
    const open: number[] = [];
    let plane: DataPlane;
    try {
      plane = new DataPlane(options, open);
    } catch (error) {
      for (const fd of open) native.closeFd(fd);
      throw error;
    }
    try {
      if (options.peers) plane.changePeers({ set: options.peers, removed: [] });
      await plane.#supervisor.start();
      const [queue] = plane.#queueFds;
      if (options.persistent && queue !== undefined) persistTun(queue);
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** @param open gets every descriptor that is opened, so that the caller can close them after an error */
  private constructor(options: DataPlaneOptions, open: number[]) {
    this.#options = options;
    this.#descriptors = open;
    this.segmentMtu = options.mtu;
    const { netns, queues, log } = options;
    const device = openDevice(options);
    open.push(...device.queues);
    this.deviceName = device.name;
    this.#queueFds = device.queues;
    const ports = openUnderlay(options);
    open.push(...new Set([...ports.receivers, ...ports.senders]));
    this.#kernelCounters = new KernelCounters(netns, device.name, ports.receivers);
    open.push(this.#kernelCounters.netlink);
    this.#offloads = probeOffloads(device.switches, device.queues, ports.receivers);
    const icmp = { 4: openRaw(netns, 4, log), 6: openRaw(netns, 6, log) };
    open.push(...Object.values(icmp).filter(fd => fd >= 0));

    const { peers, ...room } = options.capacity ?? DEFAULT_CAPACITY;
    const first = Math.min(peers, options.mostPeers ?? peers);
    this.#writer = new TablesWriter({ ...room, peers: first, readers: queues * 2 }, options, slot =>
      this.#resetSlot(slot),
    );
    this.#memory = new GrowingMemory(this.#writer, queues * 2);
    this.#paths = new PathMtus();
    this.#peers = new PeerSet(options, this.#writer, this.#paths, capacity => this.#grow(capacity));
    const sourcePorts = ports.senders.map(fd => native.udpPort(fd));
    this.taps = new TapRegistry(options, this.#writer, sourcePorts);
    this.#configs = forwarderConfig(options, ports.senders.length - 1);
    const shared = this.#sharedPlan(ports.senders, icmp);
    const plans: WorkerPlan[] = [];
    for (const [queue, tun] of device.queues.entries()) {
      const receiver = ports.receivers[queue];
      if (receiver === undefined) throw new Error(`queue ${queue} has no receiving socket`);
      for (const direction of ['egress', 'ingress'] as const) {
        const control = native.eventOpen();
        open.push(control);
        plans.push({ ...shared, direction, control, tun, receiver, capture: this.taps.addWorker() });
      }
    }
    this.#supervisor = new WorkerSupervisor(
      {
        log,
        device: this.deviceName,
        memory: this.#memory,
        onReport: (worker, report) => this.#onReport(worker, report),
        onExit: worker => this.#writer.removeReader(worker),
      },
      plans,
    );
    log.info(
      { device: this.deviceName, offloads: this.#offloads },
      `offloads ${describeOffloads(this.#offloads)}`,
    );
    this.#pathTimer = setInterval(() => this.#checkPaths(), PATH_CHECK_MS).unref();
  }

  #sharedPlan(senders: readonly number[], icmp: { 4: number; 6: number }) {
    const { driver, mtu, busyPollMicroseconds, acceptPartialChecksums } = this.#options;
    const on = (name: keyof OffloadSwitches) => this.#offloads[name] === 'on';
    return {
      ...this.#configs,
      driver: driver ?? 'native',
      orders: this.#memory.orders,
      mtu,
      segmentMtu: this.#segmentMtu,
      writeFlags:
        (on('mergeTcp') ? MERGE_TCP : 0) |
        (on('mergeUdp') ? MERGE_UDP : 0) |
        (acceptPartialChecksums ? ACCEPT_PARTIAL : 0),
      senders,
      maxSegments: on('udpGso') ? SEGMENTS_PER_MESSAGE : 1,
      icmp4: icmp[4],
      icmp6: icmp[6],
      busyPollMicroseconds,
    };
  }

  /**
   * The largest packet that the devices behind this one take, at most its MTU. A kernel peer on this host hands over GSO
   * packets whole; they are cut so that each segment arrives.
   */
  set segmentMtu(mtu: number) {
    Atomics.store(this.#segmentMtu, 0, Math.max(MTU_MIN, Math.min(mtu, this.#options.mtu)));
  }

  /** Makes `peers` the whole set of peers. Traffic of peers that stay is not touched. Otherwise as `changePeers`. */
  setPeers(peers: readonly Peer[]): void {
    this.#afterChange(this.#peers.replace(peers));
  }

  /**
   * Changes some peers and leaves the others unchanged. A peer for which the tables have no room is listed in `refused` and
   * tried again with every change.
   */
  changePeers(change: PeerChanges): void {
    this.#afterChange(this.#peers.change(change));
  }

  /** Peers for which the tables have no room, with the error. */
  get refused(): ReadonlyMap<string, RipstopError> {
    return this.#peers.refused;
  }

  /** Number of peers that the tables have room for now. */
  get capacity(): number {
    return this.#writer.slots.capacity;
  }

  #afterChange(isPublished: boolean): void {
    if (isPublished) this.#peers.trackPaths();
    else this.#publishLater();
  }

  #grow(capacity: TableCapacity): void {
    this.#memory.grow(capacity, memory => this.#supervisor.post(memory));
    const { log } = this.#options;
    log.info({ device: this.deviceName, peers: capacity.peers }, 'the tables have grown');
    if (!this.#hasMoved()) this.#publishLater();
  }

  /** True when all workers use the newest memory; wakes those that do not. */
  #hasMoved(): boolean {
    const late = this.#memory.lingering(worker => this.#supervisor.isRunning(worker));
    for (const worker of late) this.#supervisor.wake(worker);
    return late.length === 0;
  }

  #resetSlot(slot: number): void {
    resetPeer(this.#memory.counters, slot);
    this.#paths.forget(slot);
  }

  /** The state of each offload: as probed at start, less those that the kernel refused since. */
  get offloads(): Offloads {
    return this.#offloads;
  }

  /** The peers as last set. */
  get peers(): readonly Peer[] {
    return this.#peers.peers;
  }

  /** Classifies single frames as the workers would now. */
  classifier(): DryRunClassifier {
    return new DryRunClassifier(this.#writer.memory, this.#configs);
  }

  counters(): CounterSnapshot {
    const { counters } = this.#memory;
    const supervisor = this.#supervisor;
    return {
      ...snapshot(counters, this.#writer.slots.entries(), this.kernelCounts()),
      egress: readStats(counters, supervisor.workersOf('egress')),
      ingress: readStats(counters, supervisor.workersOf('ingress')),
      lag: { egress: supervisor.lag('egress'), ingress: supervisor.lag('ingress') },
      slowResponses: supervisor.slowResponses,
      restarts: supervisor.restarts,
      loweredPaths: this.#paths.lowered,
    };
  }

  /** What the kernel counts at the device and at the sockets of the underlay. */
  kernelCounts(): KernelCounts {
    return this.#isStopping ? this.#kernelCounters.last : this.#kernelCounters.read();
  }

  /** What the workers of one direction counted: frames by verdict, without those that the kernel dropped, and statistics. */
  countsOf(direction: 'egress' | 'ingress'): { verdicts: Record<string, number>; stats: WorkerStats } {
    const workers = this.#supervisor.workersOf(direction);
    const { counters } = this.#memory;
    return { verdicts: verdictsOf(counters, workers), stats: readStats(counters, workers) };
  }

  /** Ends the workers and closes everything. The device is removed, unless it is persistent. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.taps.close();
    clearInterval(this.#pathTimer);
    clearTimeout(this.#publishing);
    await this.#supervisor.stop();
    for (const fd of this.#descriptors) native.closeFd(fd);
    heapTrim.released();
  }

  #onReport(worker: number, report: Exclude<WorkerReport, { kind: 'ready' | 'failed' }>): void {
    const { log, netns } = this.#options;
    if (report.kind === 'refused') {
      const lost = report.offloads.filter(name => this.#offloads[name] === 'on');
      log.warn({ worker, offloads: lost }, 'disabling offload after repeated kernel errors');
      const states = lost.map(name => [name, 'refused by the kernel at run time']);
      this.#offloads = Object.freeze({ ...this.#offloads, ...Object.fromEntries(states) });
      return;
    }
    const peer = this.#peerIn(report.slot);
    if (!peer) return;
    const kernel = native.udpPathMtu(netns, mappedBytesOf(requireAddress(peer.address)));
    const pathMtu = this.#paths.onPacketTooBig(report.slot, report.bytes, kernel, performance.now());
    if (pathMtu === undefined) return;
    log.warn({ peer: peer.id, pathMtu }, 'path MTU to peer lowered');
    this.#afterChange(this.#peers.renew([peer.id]));
  }

  #peerIn(slot: number) {
    const id = this.#writer.slots.idOf(slot);
    return id === undefined ? undefined : this.#writer.peer(id);
  }

  /** Asks the kernel again about paths whose MTU was lowered some time ago. */
  #checkPaths(): void {
    const now = performance.now();
    const ids: string[] = [];
    for (const slot of this.#paths.due(now)) {
      const peer = this.#peerIn(slot);
      if (!peer) continue;
      const address = mappedBytesOf(requireAddress(peer.address));
      this.#paths.onRouteMtu(slot, native.udpPathMtu(this.#options.netns, address), now);
      ids.push(peer.id);
    }
    if (ids.length > 0) this.#afterChange(this.#peers.renew(ids));
  }

  #publishLater(): void {
    if (this.#isStopping) return;
    this.#publishing ??= setTimeout(() => {
      this.#publishing = undefined;
      this.#afterChange(this.#hasMoved() && this.#writer.flush());
    }, PUBLISH_RETRY_MS);
  }
}
