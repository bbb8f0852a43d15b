import { elementAt } from '../base/at.ts';
import type { RipstopError } from '../base/errors.ts';
import { heapTrim } from '../base/memory/heap-trim.ts';
import { mappedBytesOf, requireAddress } from '../ip/address.ts';
import { native } from '../native/load.ts';
import { resetPeer } from './descriptor/counters.ts';
import type { Peer, PeerChanges } from './descriptor/peer.ts';
import { readStats, type WorkerStats } from './descriptor/read-counters.ts';
import type { EgressConfig } from './fast-path/classify-egress.ts';
import type { IngressConfig } from './fast-path/classify-ingress.ts';
import { DryRunClassifier } from './fast-path/dry-run-classifier.ts';
import { forwarderConfig } from './forwarder-config.ts';
import { GrowingMemory } from './growth.ts';
import { checkAddonLayout } from './io/check-addon-layout.ts';
import { KernelCounters, type KernelCounts, NO_KERNEL_COUNTS } from './io/kernel-counters.ts';
import { describeOffloads, type Offloads, probeOffloads } from './io/offloads.ts';
import { persistTun } from './io/tun.ts';
import { openReceivers, openSenders, reportHeaders, sendersOf } from './io/udp.ts';
import { openDevice, openRaw } from './open-descriptors.ts';
import { type DataPlaneOptions, DEFAULT_CAPACITY, type ThreadsPerQueue } from './options.ts';
import { PathChecks } from './path-checks.ts';
import { PeerSet } from './peer-set.ts';
import { ProofPort } from './proof-port.ts';
import { type PlaneRecord, planeRecord } from './replay/plane-copy.ts';
import { PathMtus } from './slow-path/path-mtu.ts';
import { type CounterSnapshot, snapshot, verdictsOf, workerCounts } from './snapshot.ts';
import { type WorkerStages, WorkerSupervisor } from './supervisor.ts';
import type { TableCapacity } from './tables/capacity.ts';
import { TablesWriter } from './tables/writer.ts';
import { TapRegistry } from './tap/registry.ts';
import {
  directionsOf,
  indicesOf,
  USUAL_THREADS,
  type WorkerReport,
  workerDirections,
  workerIo,
} from './worker-plans.ts';

export { VERDICTS } from './descriptor/verdicts.ts';
export { ALL_OFFLOADS } from './io/offloads.ts';
export type { DataPlaneOptions } from './options.ts';
export type { CounterSnapshot } from './snapshot.ts';

/** Interval of the attempts to publish while a worker still reads the other half of the tables. */
const PUBLISH_RETRY_MS = 1;
const PATH_CHECK_MS = 10_000;
/** Smallest MTU of a device (RFC 791). */
const MTU_MIN = 68;

/** What there is while the device is open. */
interface Opened {
  readonly deviceName: string;
  readonly offloads: Offloads;
  /** Sending sockets, by DESC_SOCKET. */
  readonly senders: readonly number[];
}

/**
 * The data plane as the control thread sees it: it starts the workers, opens device and sockets, publishes the peers and
 * reads the counters. It carries no packets.
 */
export class DataPlane {
  /** Capture points; `CaptureHub` and `FlowMonitor` read them. */
  readonly taps: TapRegistry;
  readonly proofs: ProofPort;
  #opened: Opened | undefined;
  readonly #options: DataPlaneOptions;
  readonly #peers: PeerSet;
  readonly #writer: TablesWriter;
  readonly #memory: GrowingMemory;
  readonly #paths = new PathMtus();
  readonly #checks: PathChecks;
  readonly #configs: { readonly egress: EgressConfig; readonly ingress: IngressConfig };
  readonly #supervisor: WorkerSupervisor;
  #kernelCounters: KernelCounters | undefined;
  readonly #sendOnly: readonly number[];
  readonly #threads: ThreadsPerQueue;
  /** Of this object, to be closed with it. */
  readonly #descriptors: number[];
  readonly #segmentMtu = new Int32Array(new SharedArrayBuffer(4));
  readonly #pathTimer: NodeJS.Timeout;
  #publishing: NodeJS.Timeout | undefined;
  #isStopping = false;

  /**
   * Starts the workers and opens the device: `prepare`, then `open`.
   * @throws RipstopError EPRIV, ENODEVICE, EINUSE, EADDRNOTAVAIL, ECONFIG, ELAYOUT; nothing is left open then
   */
  static async start(options: DataPlaneOptions): Promise<DataPlane> {
    const plane = await DataPlane.prepare(options);
    try {
      plane.open();
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /**
   * Does all that needs neither the name of the device nor the port, which another tunnel may still have: starts the
   * threads, fills the tables.
   * @throws as `start`
   */
  static async prepare(options: DataPlaneOptions): Promise<DataPlane> {
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
      options.log.debug({ device: options.deviceName }, 'workers started');
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
    const { netns, queues, log, port, deviceName: device } = options;
    this.#sendOnly = openSenders(options);
    open.push(...this.#sendOnly);
    const icmp = { 4: openRaw(netns, 4, log), 6: openRaw(netns, 6, log) };
    open.push(...Object.values(icmp).filter(fd => fd >= 0));

    const { peers, ...room } = options.capacity ?? DEFAULT_CAPACITY;
    const first = Math.min(peers, options.mostPeers ?? peers);
    this.#writer = new TablesWriter({ ...room, peers: first, readers: directionsOf(queues) }, options, slot =>
      this.#resetSlot(slot),
    );
    this.#memory = new GrowingMemory(this.#writer, directionsOf(queues));
    this.#peers = new PeerSet(options, this.#writer, this.#paths, capacity => this.#grow(capacity));
    const ports = this.#sendOnly.map(fd => native.udpPort(fd));
    const sourcePorts = sendersOf(ports, port);
    this.taps = new TapRegistry(options, this.#writer, sourcePorts);
    this.#configs = forwarderConfig(options, sourcePorts.length - 1);
    this.proofs = new ProofPort(options, this.#writer);
    const shared = this.#sharedPlan(icmp);
    this.#threads = options.threadsPerQueue ?? USUAL_THREADS;
    const memory = { taps: () => this.taps.addWorker(), proofs: () => this.proofs.addWorker() };
    const plans = workerDirections(queues, this.#threads, memory).map(directions => {
      const control = native.eventOpen();
      open.push(control);
      return { ...shared, directions, control };
    });
    this.#supervisor = new WorkerSupervisor(
      {
        ...{ log, device, memory: this.#memory },
        onReport: (worker, report) => this.#onReport(worker, report),
        onExit: direction => this.#writer.removeReader(direction),
      },
      plans,
    );
    this.#checks = new PathChecks({
      paths: this.#paths,
      knownMtu: address => native.udpPathMtu(netns, mappedBytesOf(requireAddress(address))),
      probe: options.probe,
      log,
      slots: () => Array.from(this.#writer.slots.entries(), ([, slot]) => slot),
      peerIn: slot => this.#writer.peerIn(slot),
      changed: ids => this.#afterChange(this.#peers.renew(ids)),
      ignoreIcmp: () => this.#ignoreIcmp(),
    });
    this.#pathTimer = setInterval(() => this.#checks.check(), PATH_CHECK_MS).unref();
  }

  #sharedPlan(icmp: { 4: number; 6: number }) {
    const { driver, mtu, busyPollMicroseconds } = this.#options;
    return {
      ...this.#configs,
      driver: driver ?? 'native',
      orders: this.#memory.orders,
      mtu,
      segmentMtu: this.#segmentMtu,
      icmp4: icmp[4],
      icmp6: icmp[6],
      busyPollMicroseconds,
    };
  }

  /**
   * Opens device and port, and lets the workers carry packets. The device exists then and is down. Synchronous, so that
   * nothing comes between this and what leads packets to the device.
   * @throws as `start`; what this opened is closed then, and it may be called again
   */
  open(): void {
    const { log, persistent } = this.#options;
    const opened: number[] = [];
    try {
      const receivers = openReceivers(this.#options);
      opened.push(...receivers);
      const device = openDevice(this.#options);
      opened.push(...device.queues);
      const counters = new KernelCounters(this.#options.netns, device.name, receivers);
      opened.push(counters.netlink);
      const offloads = probeOffloads(device.switches, device.queues, receivers, this.#options.loadSteering);
      const [queue] = device.queues;
      if (persistent && queue !== undefined) persistTun(queue);
      const senders = sendersOf(this.#sendOnly, elementAt(receivers, 0));
      const descriptors = { queues: device.queues, receivers, senders };
      const { acceptPartialChecksums } = this.#options;
      this.#supervisor.run(workerIo(descriptors, this.#threads, offloads, acceptPartialChecksums));
      this.#descriptors.push(...opened);
      this.#opened = { deviceName: device.name, offloads, senders };
      this.proofs.use(senders);
      this.#kernelCounters = counters;
      this.taps.onReportHeaders = isOn => reportHeaders(receivers, this.#options.address, isOn);
      log.info({ device: device.name, offloads }, `offloads ${describeOffloads(offloads)}`);
    } catch (error) {
      for (const fd of opened) native.closeFd(fd);
      throw error;
    }
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

  /** Lets several datagrams to a peer share a message (UDP_SEGMENT), as at the beginning, or not. */
  setSegmentation(id: string, isOn: boolean): void {
    this.#afterChange(this.#peers.setSegmentation(id, isOn));
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
    const { log, deviceName: device } = this.#options;
    log.info({ device, peers: capacity.peers }, 'the forwarding tables are enlarged');
    if (!this.#hasMoved()) this.#publishLater();
  }

  /** True when all workers use the newest memory; wakes those that do not. */
  #hasMoved(): boolean {
    const late = this.#memory.lingering(direction => this.#supervisor.isRunning(direction));
    for (const direction of late) this.#supervisor.wake(direction);
    return late.length === 0;
  }

  #resetSlot(slot: number): void {
    resetPeer(this.#memory.counters, slot);
    this.#paths.forget(slot);
  }

  get #device(): Opened {
    if (!this.#opened) throw new Error('the data plane is not open');
    return this.#opened;
  }

  /** Name of the device once it is open. */
  get deviceName(): string {
    return this.#device.deviceName;
  }

  /** The state of each offload once the device is open: as probed then, less those that the kernel refused since. */
  get offloads(): Offloads {
    return this.#device.offloads;
  }

  /** The peers as last set, with the path MTUs that were learnt. */
  get peers(): readonly Peer[] {
    return this.#peers.withPaths;
  }

  /** What the decisions of the workers depend on now. */
  get record(): PlaneRecord {
    return planeRecord(this.#options, this);
  }

  /** Classifies single frames as the workers would now. */
  classifier(): DryRunClassifier {
    return new DryRunClassifier(this.#writer.memory, this.#configs);
  }

  counters(): CounterSnapshot {
    const { counters } = this.#memory;
    const { queues } = this.#options;
    const supervisor = this.#supervisor;
    return {
      ...snapshot(counters, this.#writer.slots.entries(), this.kernelCounts()),
      ...workerCounts(counters, indicesOf('egress', queues), indicesOf('ingress', queues)),
      lag: this.lag,
      slowResponses: supervisor.slowResponses,
      restarts: supervisor.restarts,
      loweredPaths: this.#paths.lowered,
    };
  }

  /** Response time of the slowest worker of each direction. */
  get lag() {
    return { egress: this.#supervisor.lag('egress'), ingress: this.#supervisor.lag('ingress') };
  }

  /** Times the stages of all workers for some time. */
  async measureStages(milliseconds: number): Promise<WorkerStages[]> {
    return this.#supervisor.measureStages(milliseconds);
  }

  /** What the kernel counts at the device and at the sockets of the underlay. */
  kernelCounts(): KernelCounts {
    const counters = this.#kernelCounters;
    return (this.#isStopping ? counters?.last : counters?.read()) ?? NO_KERNEL_COUNTS;
  }

  /** What the workers of one direction counted: frames by verdict, without those that the kernel dropped, and statistics. */
  countsOf(direction: 'egress' | 'ingress'): { verdicts: Record<string, number>; stats: WorkerStats } {
    const indices = indicesOf(direction, this.#options.queues);
    const { counters } = this.#memory;
    return { verdicts: verdictsOf(counters, indices), stats: readStats(counters, indices) };
  }

  /** Ends the workers and closes everything. The device is removed, unless it is persistent. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.taps.close();
    this.proofs.use(undefined);
    clearInterval(this.#pathTimer);
    this.#checks.stop();
    clearTimeout(this.#publishing);
    await this.#supervisor.stop();
    for (const fd of this.#descriptors) native.closeFd(fd);
    heapTrim.released();
  }

  #onReport(worker: string, report: Exclude<WorkerReport, { kind: 'ready' | 'failed' }>): void {
    if (report.kind === 'refused') {
      const { log } = this.#options;
      const { offloads } = this.#device;
      const lost = report.offloads.filter(name => offloads[name] === 'on');
      log.warn({ worker, offloads: lost }, 'disabling offload after repeated kernel errors');
      const states = Object.fromEntries(lost.map(name => [name, 'refused by the kernel at run time']));
      this.#opened = { ...this.#device, offloads: Object.freeze({ ...offloads, ...states }) };
      return;
    }
    this.#checks.onRefusal(report.slot, report.bytes);
  }

  /** The sockets with DF send what their interface takes: no path MTU that ICMP reported stops a packet. */
  #ignoreIcmp(): void {
    const { family } = requireAddress(this.#options.address);
    for (const fd of this.#device.senders.slice(0, -1)) native.udpIgnorePathMtu(fd, family);
  }

  #publishLater(): void {
    if (this.#isStopping) return;
    this.#publishing ??= setTimeout(() => {
      this.#publishing = undefined;
      this.#afterChange(this.#hasMoved() && this.#writer.flush());
    }, PUBLISH_RETRY_MS);
  }
}
