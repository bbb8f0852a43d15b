import { Worker } from 'node:worker_threads';
import { FORMATS } from '../../encap/formats.ts';
import type { RipstopError } from '../base/errors.ts';
import { mappedBytesOf, requireAddress } from '../ip/address.ts';
import { native } from '../native/load.ts';
import { resetPeer } from './descriptor/counters.ts';
import type { Peer, PeerChanges } from './descriptor/peer.ts';
import { Judge } from './fast-path/dry-run-classifier.ts';
import { GrowingMemory } from './growth.ts';
import { type Lag, LagMeter, worst } from './heartbeat.ts';
import { describeOffloads, type OffloadSwitches, type Offloads, probeOffloads } from './io/offloads.ts';
import { ACCEPT_UNFINISHED, MERGE_TCP, MERGE_UDP, openTun, persistTun } from './io/tun.ts';
import { openUnderlay } from './io/udp.ts';
import { openForeign, openRaw } from './open-descriptors.ts';
import { type DataPlaneOptions, DEFAULT_CAPACITY } from './options.ts';
import { PeerSet } from './peer-set.ts';
import { PathMtus } from './slow-path/path-mtu.ts';
import { type CounterSnapshot, gaugesOf, snapshot } from './snapshot.ts';
import type { TableCapacity } from './tables/capacity.ts';
import { packMac } from './tables/mac.ts';
import { TablesWriter } from './tables/writer.ts';
import { Watched } from './tap/registry.ts';
import type { WorkerReport, WorkerTask } from './worker.ts';

export { VERDICTS } from './descriptor/verdicts.ts';
export { ALL_OFFLOADS } from './io/offloads.ts';
export type { DataPlaneOptions } from './options.ts';
export type { CounterSnapshot } from './snapshot.ts';

/** Datagrams a message: UDP_MAX_SEGMENTS is 64 before Linux 6.9 and 128 since; a refusal falls back one by one. */
const SEGMENTS_A_MESSAGE = 64;
/** How long a reader may take to leave the tables that are to be rewritten, before the writer looks again. */
const PUBLISH_RETRY_MS = 1;
const RESTART_MS = 100;
const PATH_CHECK_MS = 10_000;
const LAG_CHECK_MS = 1000;
/** errno of a read from a TUN or TAP whose device was deleted. */
const EBADFD = 77;

/**
 * The data plane as the control thread has it: opens device and sockets, starts the workers, publishes the peers,
 * reads the counters. Carries no packet.
 */
export class DataPlane {
  readonly deviceName: string;
  #offloads: Offloads;
  readonly #options: DataPlaneOptions;
  readonly #peers: PeerSet;
  readonly #writer: TablesWriter;
  readonly #memory: GrowingMemory;
  readonly #tasks: Omit<WorkerTask, 'memory'>[] = [];
  readonly #lags: LagMeter[] = [];
  readonly #workers = new Map<number, Worker>();
  /** By which it lets itself be captured (`CaptureHub` of the capture room). */
  readonly watched: Watched;
  readonly #paths: PathMtus;
  readonly #descriptors: number[];
  readonly #timers = new Set<NodeJS.Timeout>();
  #publishing: NodeJS.Timeout | undefined;
  #restarts = 0;
  #stopping = false;

  /**
   * Opens everything and starts the workers; the device exists and is down when this resolves.
   * @throws RipstopError EPRIV, ENODEVICE, EINUSE, EADDRNOTAVAIL, ECONFIG; nothing is left open then
   */
  static async start(options: DataPlaneOptions): Promise<DataPlane> {
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
      await Promise.all(plane.#tasks.map(task => plane.#startWorker(task)));
      if (options.persistent) persistTun(plane.#tasks[0]!.tun);
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  private constructor(options: DataPlaneOptions, open: number[]) {
    this.#options = options;
    this.#descriptors = open;
    const { netns, queues, mode } = options;
    const address = requireAddress(options.address);
    const kind = mode === 'vxlan' ? 'tap' : 'tun';
    const foreign = options.driver === 'tuntap2' ? openForeign(options, kind) : undefined;
    const queueFds = foreign ? [foreign.fd] : openTun(netns, options.deviceName, kind, queues);
    open.push(...queueFds);
    this.deviceName = foreign?.name ?? native.tunName(queueFds[0]!);
    const ports = openUnderlay(
      netns,
      mappedBytesOf(address),
      address.family,
      options.port,
      queues,
      mode === 'vxlan' ? options.sourcePorts : 0,
    );
    open.push(...new Set([...ports.receivers, ...ports.senders]));
    const switches = foreign
      ? { ...options.offloads, csum: false, mergeTcp: false, mergeUdp: false }
      : options.offloads;
    this.#offloads = probeOffloads(switches, queueFds, ports.receivers);
    const icmp = ([4, 6] as const).map(inner => openRaw(netns, inner, options.log));
    open.push(...icmp.filter(fd => fd >= 0));

    const { peers, ...room } = options.capacity ?? DEFAULT_CAPACITY;
    const first = Math.min(peers, options.mostPeers ?? peers);
    this.#writer = new TablesWriter({ ...room, peers: first, readers: queues * 2 }, options, slot =>
      this.#resetSlot(slot),
    );
    this.#memory = new GrowingMemory(this.#writer, queues * 2);
    this.#paths = new PathMtus({ format: FORMATS[mode] });
    this.#peers = new PeerSet(options, this.#writer, this.#paths, capacity => this.#grow(capacity));
    const sourcePorts = ports.senders.map(fd => native.udpPort(fd));
    this.watched = new Watched(options, this.#writer, sourcePorts);
    const shared = this.#sharedTask(options, ports.senders, icmp);
    for (let queue = 0; queue < queues; queue++) {
      for (const direction of ['egress', 'ingress'] as const) {
        const control = native.eventOpen();
        open.push(control);
        const index = this.#tasks.length;
        const receiver = ports.receivers[queue]!;
        const capture = this.watched.addWorker();
        const lag = new LagMeter();
        this.#lags.push(lag);
        const own = { index, control, tun: queueFds[queue]!, receiver, capture, lag: lag.memory };
        this.#tasks.push({ ...shared, ...own, direction });
      }
    }
    options.log.info(
      { device: this.deviceName, offloads: this.offloads },
      `offloads ${describeOffloads(this.offloads)}`,
    );
    this.#every(PATH_CHECK_MS, () => this.#askPaths());
    this.#every(LAG_CHECK_MS, () => {
      for (const { index, control } of this.#tasks) this.#lags[index]!.ask(() => native.eventSignal(control));
    });
  }

  #sharedTask(options: DataPlaneOptions, senders: number[], [icmp4 = -1, icmp6 = -1]: number[]) {
    const { mode, mtu, spinUs } = options;
    const on = (name: keyof OffloadSwitches) => this.offloads[name] === 'on';
    const ethernet = mode === 'vxlan' ? 1 : 0;
    const flood = options.flood ? 1 : 0;
    const mac = ethernet === 1 ? packMac(options.mac ?? '', 'mac') : { hi: 0, lo: 0 };
    return {
      driver: options.driver ?? 'batched',
      orders: this.#memory.orders,
      mtu,
      writeFlags:
        (on('mergeTcp') ? MERGE_TCP : 0) |
        (on('mergeUdp') ? MERGE_UDP : 0) |
        (options.acceptUnfinished ? ACCEPT_UNFINISHED : 0),
      senders,
      maxSegments: on('udpGso') ? SEGMENTS_A_MESSAGE : 1,
      icmp4,
      icmp6,
      egress: { ethernet, flood, flowSockets: senders.length - 1 },
      ingress: {
        ethernet,
        vni: options.vni,
        macHi16: mac.hi,
        macLo32: mac.lo,
        flood,
        strict: options.strictSource ? 1 : 0,
        mtu,
        superframes: options.acceptUnfinished ? 1 : 0,
      },
      spinUs,
    };
  }

  /** Makes `peers` the whole set of peers. Traffic of those that stay is not touched. Otherwise as `changePeers`. */
  setPeers(peers: readonly Peer[]): void {
    this.#settle(this.#peers.replace(peers));
  }

  /**
   * Changes some peers and leaves the others as they are. A peer that finds no room stands in `refused` and is tried again
   * with every change.
   */
  changePeers(change: PeerChanges): void {
    this.#settle(this.#peers.change(change));
  }

  /** Peers that the tables have no room for, and why. */
  get refused(): ReadonlyMap<string, RipstopError> {
    return this.#peers.refused;
  }

  /** Peers that the tables have room for now. */
  get capacity(): number {
    return this.#writer.slots.capacity;
  }

  #settle(isPublished: boolean): void {
    if (isPublished) this.#peers.trackPaths();
    else this.#publishLater();
  }

  #grow(capacity: TableCapacity): void {
    this.#memory.grow(capacity, memory => {
      for (const worker of this.#workers.values()) worker.postMessage(memory);
    });
    const { log } = this.#options;
    log.info({ device: this.deviceName, peers: capacity.peers }, 'the tables have grown');
    if (!this.#hasMoved()) this.#publishLater();
  }

  /** True when all workers use the newest memory; wakes those that do not. */
  #hasMoved(): boolean {
    const late = this.#memory.lingering(worker => this.#workers.has(worker));
    for (const worker of late)
      this.#lags[worker]!.ask(() => native.eventSignal(this.#tasks[worker]!.control));
    return late.length === 0;
  }

  #resetSlot(slot: number): void {
    resetPeer(this.#memory.counters, slot);
    this.#paths.forget(slot);
  }

  /** The state of each offload, as probed at start and as the kernel kept to it since. */
  get offloads(): Offloads {
    return this.#offloads;
  }

  /** The peers as they were last set. */
  get peers(): readonly Peer[] {
    return this.#peers.peers;
  }

  /** What the workers would decide about a frame now. */
  judge(): Judge {
    return new Judge(this.#writer.memory, this.#tasks[0]!);
  }

  counters(): CounterSnapshot {
    const { counters } = this.#memory;
    const workersOf = (direction: string) =>
      this.#tasks.filter(task => task.direction === direction).map(task => task.index);
    return {
      ...snapshot(counters, this.#writer.slots.entries()),
      egress: gaugesOf(counters, workersOf('egress')),
      ingress: gaugesOf(counters, workersOf('ingress')),
      lag: { egress: this.#lagOf('egress'), ingress: this.#lagOf('ingress') },
      restarts: this.#restarts,
      loweredPaths: this.#paths.lowered,
    };
  }

  #lagOf(direction: string): Lag {
    return worst(
      this.#tasks.filter(task => task.direction === direction).map(task => this.#lags[task.index]!.lag),
    );
  }

  /** Ends the workers and closes everything; the device is gone afterwards, unless it is persistent. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.watched.close();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#memory.stop();
    const ended = [...this.#workers.values()].map(
      worker => new Promise<void>(done => worker.once('exit', () => done())),
    );
    for (const task of this.#tasks) native.eventSignal(task.control);
    await Promise.all(ended);
    for (const fd of this.#descriptors) native.closeFd(fd);
  }

  #startWorker(task: Omit<WorkerTask, 'memory'>): Promise<void> {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: { ...task, memory: this.#memory.start(task.index) } satisfies WorkerTask,
      name: `${task.direction}-${task.index}`,
    });
    this.#workers.set(task.index, worker);
    return new Promise((ready, failed) => {
      worker.on('message', (report: WorkerReport) => {
        if (report.kind === 'ready') ready();
        else this.#hear(task, report);
      });
      worker.on('error', error => {
        this.#options.log.error(
          { worker: task.index, direction: task.direction, err: error.message },
          'worker failed',
        );
        failed(error);
      });
      worker.on('exit', code => {
        this.#workers.delete(task.index);
        this.#writer.removeReader(task.index);
        if (this.#stopping || code === 0) return;
        this.#restarts++;
        this.#options.log.warn(
          { worker: task.index, direction: task.direction, code },
          'worker ended, starting it again',
        );
        this.#after(RESTART_MS, () => this.#startWorker(task).catch(() => {}));
      });
    });
  }

  #hear(task: Omit<WorkerTask, 'memory'>, report: WorkerReport): void {
    const { log, netns } = this.#options;
    if (report.kind === 'failed')
      log.error(
        { worker: task.index, direction: task.direction, errno: report.errno, device: this.deviceName },
        report.errno === EBADFD ? 'the device is gone: somebody deleted it' : 'read failed',
      );
    if (report.kind === 'refused') {
      const lost = report.offloads.filter(name => this.#offloads[name] === 'on');
      log.warn(
        { worker: task.index, offloads: lost },
        'the kernel keeps refusing an offload; going on without it',
      );
      const states = lost.map(name => [name, 'refused by the kernel at run time']);
      this.#offloads = Object.freeze({ ...this.#offloads, ...Object.fromEntries(states) });
    }
    if (report.kind !== 'too-big') return;
    const id = this.#writer.slots.idOf(report.slot);
    const peer = id === undefined ? undefined : this.#writer.peer(id);
    if (!peer) return;
    const kernel = native.udpPathMtu(netns, mappedBytesOf(requireAddress(peer.address)));
    if (this.#paths.refused(report.slot, report.bytes, kernel, performance.now())) {
      log.warn(
        { peer: peer.id, pathMtu: this.#paths.get(report.slot)?.pathMtu },
        'the path to the peer takes less',
      );
      this.#settle(this.#peers.renew([peer.id]));
    }
  }

  /** Asks the kernel again about paths that were lowered a while ago. */
  #askPaths(): void {
    const now = performance.now();
    const ids: string[] = [];
    for (const slot of this.#paths.due(now)) {
      const id = this.#writer.slots.idOf(slot);
      const peer = id === undefined ? undefined : this.#writer.peer(id);
      if (!peer) continue;
      this.#paths.answered(
        slot,
        native.udpPathMtu(this.#options.netns, mappedBytesOf(requireAddress(peer.address))),
        now,
      );
      ids.push(peer.id);
    }
    if (ids.length > 0) this.#settle(this.#peers.renew(ids));
  }

  #publishLater(): void {
    this.#publishing ??= this.#after(PUBLISH_RETRY_MS, () => {
      this.#publishing = undefined;
      this.#settle(this.#hasMoved() && this.#writer.flush());
    });
  }

  #after(ms: number, action: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#stopping) action();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  #every(ms: number, action: () => void): void {
    const timer = setInterval(action, ms);
    timer.unref();
    this.#timers.add(timer);
  }
}
