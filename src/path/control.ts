import { Worker } from 'node:worker_threads';
import type { Family } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import { familyOf, viewOf } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { describeOffloads, type OffloadSwitches, type Offloads, probeOffloads } from '../io/offloads.ts';
import { ACCEPT_UNFINISHED, MERGE_TCP, MERGE_UDP, openTun, persistTun } from '../io/tun.ts';
import { openTuntap2 } from '../io/tuntap2.ts';
import { openUnderlay } from '../io/udp.ts';
import { native } from '../native/load.ts';
import { createCounters, openCounters, resetPeer } from '../shm/counters.ts';
import { TablesWriter } from '../shm/tables-writer.ts';
import { PathMtus } from '../slow/path-mtu.ts';
import { Judge } from './judge.ts';
import { type Lag, LagMeter, worst } from './lag.ts';
import { type DataPlaneOptions, DEFAULT_CAPACITY } from './options.ts';
import { macWords, PeerInputs, type PeerSpec, underlayBytes } from './peer-spec.ts';
import { type CounterSnapshot, gaugesOf, snapshot } from './snapshot.ts';
import { Watched } from './watched.ts';
import type { WorkerReport, WorkerTask } from './worker.ts';

export { ALL_OFFLOADS } from '../io/offloads.ts';
export type { DataPlaneOptions } from './options.ts';
export type { PeerSpec } from './peer-spec.ts';
export type { CounterSnapshot } from './snapshot.ts';
export { VERDICTS } from './verdicts.ts';

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
  readonly #inputs: PeerInputs;
  readonly #writer: TablesWriter;
  readonly #counters: SharedArrayBuffer;
  readonly #tasks: WorkerTask[] = [];
  readonly #lags: LagMeter[] = [];
  readonly #workers = new Map<number, Worker>();
  readonly #stop = new SharedArrayBuffer(4);
  /** By which it lets itself be captured (`CaptureHub` of the capture room). */
  readonly watched: Watched;
  readonly #paths: PathMtus;
  readonly #descriptors: number[];
  readonly #timers = new Set<NodeJS.Timeout>();
  #specs: readonly PeerSpec[] = [];
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
      if (options.peers) plane.setPeers(options.peers);
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
    const address = underlayBytes(options.address, 'underlay address');
    const family = familyOf(viewOf(address), 0);
    const kind = mode === 'vxlan' ? 'tap' : 'tun';
    const foreign = options.driver === 'tuntap2' ? openForeign(options, kind) : undefined;
    const queueFds = foreign ? [foreign.fd] : openTun(netns, options.deviceName, kind, queues);
    open.push(...queueFds);
    this.deviceName = foreign?.name ?? native.tunName(queueFds[0]!);
    const ports = openUnderlay(
      netns,
      address,
      family,
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

    const capacity = { ...(options.capacity ?? DEFAULT_CAPACITY), readers: queues * 2 };
    this.#counters = createCounters(queues * 2, capacity.peers);
    this.#writer = new TablesWriter(capacity, { resetSlot: slot => this.#resetSlot(slot) });
    this.#inputs = new PeerInputs(options);
    this.#paths = new PathMtus({ format: FORMATS[mode] });
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
    const mac = ethernet === 1 ? macWords(options.mac ?? '', 'mac') : { hi: 0, lo: 0 };
    return {
      driver: options.driver ?? 'batched',
      tables: this.#writer.memory,
      counters: this.#counters,
      stop: this.#stop,
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
        macHigh: mac.hi,
        macLow: mac.lo,
        flood,
        strict: options.strictSource ? 1 : 0,
        mtu,
        superframes: options.acceptUnfinished ? 1 : 0,
      },
      spinUs,
    };
  }

  /**
   * Makes `peers` the whole set of peers. Traffic of those that stay is not touched.
   * @throws RipstopError ECONFIG, EOVERLAP, ECAPACITY; the set is unchanged then
   */
  setPeers(peers: readonly PeerSpec[]): void {
    const { underlayMtu, mtu } = this.#options;
    const addresses = new Map(this.#specs.map(({ id, address }) => [id, address]));
    const moved: { slot: number; family: Family }[] = [];
    const told = this.#inputs.of(peers);
    const inputs = peers.map((spec, index) => {
      const input = told[index]!;
      const slot = this.#writer.slots.of(spec.id);
      if (slot !== undefined && addresses.get(spec.id) !== spec.address) {
        moved.push({ slot, family: input.family }); // what was learnt was about another path
        return input;
      }
      const lowered = slot === undefined ? undefined : this.#paths.get(slot);
      if (!lowered || lowered.pathMtu >= underlayMtu) return input;
      return { ...input, pathMtu: lowered.pathMtu, innerMtu: Math.min(mtu, lowered.innerMtu) };
    });
    const published = this.#writer.publish(inputs);
    this.#specs = [...peers];
    for (const { slot, family } of moved) this.#paths.set(slot, family, underlayMtu, true);
    if (published) this.#trackPaths();
    else this.#publishLater();
  }

  /** Begins to watch the paths of peers that are new. */
  #trackPaths(): void {
    for (const { id, family } of this.#writer.peers) {
      const slot = this.#writer.slots.of(id);
      if (slot !== undefined && !this.#paths.get(slot))
        this.#paths.set(slot, family, this.#options.underlayMtu);
    }
  }

  #resetSlot(slot: number): void {
    resetPeer(openCounters(this.#counters), slot);
    this.#paths.forget(slot);
  }

  /** The state of each offload, as probed at start and as the kernel kept to it since. */
  get offloads(): Offloads {
    return this.#offloads;
  }

  /** The peers as they were last set. */
  get peers(): readonly PeerSpec[] {
    return this.#specs;
  }

  /** What the workers would decide about a frame now. */
  judge(): Judge {
    return new Judge(this.#writer.memory, this.#tasks[0]!);
  }

  counters(): CounterSnapshot {
    const counters = openCounters(this.#counters);
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
    Atomics.store(new Int32Array(this.#stop), 0, 1);
    Atomics.notify(new Int32Array(this.#stop), 0);
    const ended = [...this.#workers.values()].map(
      worker => new Promise<void>(done => worker.once('exit', () => done())),
    );
    for (const task of this.#tasks) native.eventSignal(task.control);
    await Promise.all(ended);
    for (const fd of this.#descriptors) native.closeFd(fd);
  }

  #startWorker(task: WorkerTask): Promise<void> {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: task,
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
        this.#writer.forgetReader(task.index);
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

  #hear(task: WorkerTask, report: WorkerReport): void {
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
    const peer = this.#writer.peers.find(({ id }) => this.#writer.slots.of(id) === report.slot);
    if (!peer) return;
    const kernel = native.udpPathMtu(netns, peer.address);
    if (this.#paths.refused(report.slot, report.bytes, kernel, performance.now())) {
      log.warn(
        { peer: peer.id, pathMtu: this.#paths.get(report.slot)?.pathMtu },
        'the path to the peer takes less',
      );
      this.setPeers(this.#specs);
    }
  }

  /** Asks the kernel again about paths that were lowered a while ago. */
  #askPaths(): void {
    const now = performance.now();
    const due = this.#paths.due(now);
    if (due.length === 0) return;
    for (const { id, address } of this.#writer.peers) {
      const slot = this.#writer.slots.of(id);
      if (slot !== undefined && due.includes(slot))
        this.#paths.answered(slot, native.udpPathMtu(this.#options.netns, address), now);
    }
    this.setPeers(this.#specs);
  }

  #publishLater(): void {
    this.#after(PUBLISH_RETRY_MS, () => {
      if (this.#writer.flush()) this.#trackPaths();
      else this.#publishLater();
    });
  }

  #after(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#stopping) action();
    }, ms);
    this.#timers.add(timer);
  }

  #every(ms: number, action: () => void): void {
    const timer = setInterval(action, ms);
    timer.unref();
    this.#timers.add(timer);
  }
}

/** The package's device, where it can be. */
function openForeign({ netns, queues }: DataPlaneOptions, kind: 'tun' | 'tap'): { fd: number; name: string } {
  if (netns !== '' || queues > 1)
    throw new RipstopError(
      'ECONFIG',
      `driver tuntap2 cannot ${netns === '' ? `have ${queues} queues` : `reach into the namespace ${netns}`}`,
      netns === '' ? 'set workers to 1' : 'start this process inside the namespace',
    );
  return openTuntap2(kind);
}

/** A raw socket for ICMP answers, -1 without the privilege: then pods get no answers, which is said once. */
function openRaw(netns: string, family: 4 | 6, log: Log): number {
  try {
    return native.rawOpen(netns, family);
  } catch (error) {
    log.warn({ family, err: String(error) }, 'no raw socket: pods get no ICMP errors from the overlay');
    return -1;
  }
}
