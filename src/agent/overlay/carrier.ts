import { RipstopError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import { FlowMonitor } from '../../capture/flows/flow-monitor.ts';
import { CaptureHub } from '../../capture/live/capture-hub.ts';
import { FlightRecorder } from '../../capture/recorder/flight-recorder.ts';
import { DataPlane } from '../../dataplane/dataplane.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { requirePrefix } from '../../ip/prefix.ts';
import { loadFlowSteering } from '../../net/bpf/flow-steering.ts';
import { outerFieldsTo } from '../../net/next-hop.ts';
import { changeLink, deleteLink, findLink, type Link } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { Settings } from '../config/settings.ts';
import { IFF_LOWER_UP } from '../inputs/busy-devices.ts';
import type { TunnelPlan } from '../inputs/plan.ts';
import type { Underlay } from '../inputs/underlay.ts';
import type { FormerState } from '../kernel/former-state.ts';
import { setAside } from '../kernel/set-aside.ts';
import { PathProber } from '../probe/path-prober.ts';
import { mtuTowardsPods } from './pod-mtu.ts';

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

interface CarrierOptions extends OverlayOptions {
  readonly plan: TunnelPlan;
  readonly underlay: Underlay;
  readonly socket: NetlinkSocket;
}

/**
 * The data plane of Ripstop that carries one overlay, with what reads from it. It is prepared while another tunnel still
 * carries the packets, and then takes over device and port.
 */
export class Carrier {
  readonly plane: DataPlane;
  readonly capture: CaptureHub;
  readonly flows: FlowMonitor;
  readonly recorder: FlightRecorder | undefined;
  readonly #options: CarrierOptions;
  readonly #acceptsPartial: boolean;
  #peers: readonly Peer[];
  /** Index of the device that this one replaced, until it is deleted. */
  #former: number | undefined;

  private constructor(
    plane: DataPlane,
    options: CarrierOptions,
    acceptsPartial: boolean,
    peers: readonly Peer[],
  ) {
    this.plane = plane;
    this.#options = options;
    this.#acceptsPartial = acceptsPartial;
    this.#peers = peers;
    this.capture = new CaptureHub(plane.taps, address => outerFieldsTo(options.socket, address));
    this.flows = new FlowMonitor(plane.taps, options.plan.device);
    if (options.settings.flowTable) this.flows.keep();
    if (options.settings.recorder !== 'off') this.recorder = new FlightRecorder(plane.taps);
  }

  /** Starts the threads; `open` follows. @throws RipstopError, NetError */
  static async prepare(options: CarrierOptions, peers: readonly Peer[]): Promise<Carrier> {
    const { plan, underlay, netns, keepState, settings, isRelay, log } = options;
    const acceptsPartial = acceptsPartialChecksums(options);
    const plane = await DataPlane.prepare({
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
      underlayMtu: underlay.mtu,
      flood: settings.flood,
      copyDscp: settings.copyDscp,
      sourceCheck: settings.sourceCheck === 'strict',
      ownSubnets: isRelay ? undefined : plan.subnets.map(requirePrefix),
      acceptPartialChecksums: acceptsPartial,
      offloads: settings.offloads,
      queues: settings.workers,
      threadsPerQueue: THREADS[settings.threadsPerQueue],
      sourcePorts: settings.sourcePorts,
      busyPollMicroseconds: settings.busyPollMicroseconds,
      peers,
      recorder:
        settings.recorder === 'off'
          ? undefined
          : { headers: settings.recorder === 'headers', bytes: settings.recorderMebibytes << 20 },
      loadSteering: () => loadFlowSteering(plan.mode === 'vxlan' ? 'tap' : 'tun'),
      // Raw sockets belong to the namespace of the process.
      probe: netns === '' ? new PathProber(options.socket) : undefined,
      log: componentLog(log, 'dataplane'),
    });
    return new Carrier(plane, options, acceptsPartial, peers);
  }

  /**
   * Takes over device and port. A failure leaves it prepared.
   * @param peers the present ones: they may have changed since `prepare`
   * @throws RipstopError, NetError
   */
  open(peers: readonly Peer[]): void {
    const { plan, socket } = this.#options;
    if (peers !== this.#peers) this.plane.setPeers(peers);
    this.#peers = peers;
    this.#clearName();
    this.plane.open();
    // The package node-tuntap2 names its device itself.
    const made = findLink(socket, this.plane.deviceName);
    if (made && made.name !== plan.device) changeLink(socket, made.index, { name: plan.device });
    this.followPods();
  }

  /** Only GSO packets of kernel peers on this host are cut by what the devices of the pods take. */
  followPods(): void {
    if (this.#acceptsPartial)
      this.plane.segmentMtu = mtuTowardsPods(this.#options.socket, this.#options.plan);
  }

  /** True while the device exists. */
  hasDevice(): boolean {
    return findLink(this.#options.socket, this.#options.plan.device)?.kind === 'tun';
  }

  stop(): Promise<void> {
    this.recorder?.stop();
    return this.plane.stop();
  }

  /** Deletes the device that was replaced: call it when packets are led to the new one. @throws NetError */
  removeFormer(): void {
    if (this.#former !== undefined) deleteLink(this.#options.socket, this.#former);
    this.#former = undefined;
  }

  /**
   * Sets aside a device of this name that flanneld or the kernel data plane left, or one of ours that does not fit the settings.
   * @throws RipstopError EINUSE
   */
  #clearName(): void {
    const { plan, keepState, log, socket } = this.#options;
    const { device } = plan;
    const link = findLink(socket, device);
    if (!link || (link.kind === 'tun' && keepState && this.#fits(link))) return;
    if (keepState && (link.kind === 'vxlan' || this.#isLeftOver(link))) {
      const what = link.kind === 'vxlan' ? 'the kernel VXLAN device' : 'the device of the former settings';
      log.info({ device }, `replacing ${what}`);
      setAside(socket, link);
      this.#former = link.index;
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
}

const THREADS = { auto: undefined, one: 1, two: 2 } as const;

function acceptsPartialChecksums({ settings, socket, underlay }: CarrierOptions): boolean {
  if (settings.partialChecksums !== 'auto') return settings.partialChecksums === 'accept';
  // The other end of a veth is on this host: a kernel peer there leaves checksums to hardware that does not exist.
  return findLink(socket, underlay.name)?.kind === 'veth';
}
