import { FORMATS } from '../../../encap/formats.ts';
import { overlayMtu } from '../../../encap/mtu.ts';
import { monitorOf } from '../../api/flows.ts';
import { RipstopError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { type CounterSnapshot, DataPlane } from '../../dataplane/dataplane.ts';
import { changeLink, findLink } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { describeRefusedSysctl, onRefusedSysctl } from '../../net/sysctl.ts';
import { describeChange, type KernelChange } from '../kernel/change.ts';
import { desiredState, type OverlaySpec } from '../kernel/desired.ts';
import { KernelReconciler } from '../kernel/reconciler.ts';
import type { DesiredState } from '../kernel/state.ts';
import { type NodeConfig, type NodePeer, peerOf, vtepMac } from './config.ts';
import { findUnderlay, type NodeUnderlay } from './underlay.ts';

/** What the configuration becomes on this machine. */
export interface Settled {
  readonly config: NodeConfig;
  readonly underlay: NodeUnderlay;
  readonly overlay: OverlaySpec;
  readonly acceptUnfinished: boolean;
}

/**
 * Settles what the configuration leaves to the machine: underlay, MTU, own MAC. Changes nothing.
 * @throws RipstopError ECONFIG, EUNDERLAY, EMTU
 */
export function settle(socket: NetlinkSocket, config: NodeConfig, log: Log): Settled {
  const underlay = findUnderlay(socket, config);
  const { mode, subnets, networks, device, txQueueLength } = config;
  const inner = [...new Set(subnets.map(subnet => (subnet.includes(':') ? 6 : 4)))];
  const wanted = config.mtu === 'auto' ? undefined : config.mtu;
  const mtu = overlayMtu(FORMATS[mode], underlay.family, underlay.mtu, inner, wanted);
  if (!mtu.ok) throw new RipstopError('EMTU', `mtu: ${mtu.problem} (underlay ${underlay.device})`, mtu.hint);
  if (mtu.warning) log.warn({ mtu: mtu.mtu }, mtu.warning);
  const mac = mode === 'vxlan' ? (config.mac ?? vtepMac(config.vni, underlay.address)) : undefined;
  const twin = config.peers.find(peer => mac !== undefined && peer.mac === mac);
  if (twin)
    throw new RipstopError(
      'ECONFIG',
      `peer "${twin.id}": its MAC ${mac} is the own one`,
      'each VTEP has a MAC of its own',
    );
  return {
    config,
    underlay,
    overlay: { mode, device, mtu: mtu.mtu, mac, txQueueLength, subnets, networks, underlay: underlay.device },
    acceptUnfinished:
      config.unfinishedChecksums === 'accept' ||
      // A veth ends in a namespace of this very host, where a kernel peer leaves checksums to a card that is not there.
      (config.unfinishedChecksums === 'auto' && underlay.kind === 'veth'),
  };
}

/** One node of an overlay with a static list of peers: data plane, device, addresses, routes, neighbours. */
export class OverlayNode {
  readonly #log: Log;
  readonly #kernel: KernelReconciler;
  /** Destinations of peers that a connected network keeps; logged once. */
  readonly #connected = new Set<string>();
  #plane: DataPlane;
  #settled: Settled;
  /** What runs now; changes of the node wait for each other. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(settled: Settled, kernel: KernelReconciler, plane: DataPlane, log: Log) {
    this.#settled = settled;
    this.#kernel = kernel;
    this.#plane = plane;
    this.#log = log;
  }

  /**
   * Starts everything; packets can flow when this resolves.
   * @throws RipstopError one clear line; nothing is left behind then
   */
  static async start(config: NodeConfig, log: Log): Promise<OverlayNode> {
    onRefusedSysctl(setting => log.warn(describeRefusedSysctl(setting)));
    const kernel = new KernelReconciler(config.namespace, {
      device: config.device,
      networks: config.networks,
    });
    try {
      const settled = settle(kernel.socket, config, log);
      refuseTaken(kernel.socket, config.device);
      const plane = await startPlane(settled, kernel.socket, log);
      const node = new OverlayNode(settled, kernel, plane, log);
      try {
        node.#apply(config.peers);
        return node;
      } catch (error) {
        await node.#end();
        throw error;
      }
    } catch (error) {
      kernel.close();
      throw error;
    }
  }

  get settled(): Settled {
    return this.#settled;
  }

  get plane(): DataPlane {
    return this.#plane;
  }

  counters(): CounterSnapshot {
    return this.#plane.counters();
  }

  /**
   * Takes the peers of a new configuration. Traffic of peers that stay is not touched.
   * @returns names of the keys that changed and need a restart
   * @throws RipstopError when the new peers cannot be; the old ones stay
   */
  reload(config: NodeConfig): Promise<string[]> {
    return this.#inTurn(() => {
      const former = this.#settled.config;
      const pending = (Object.keys(config) as (keyof NodeConfig)[]).filter(
        key => key !== 'peers' && JSON.stringify(config[key]) !== JSON.stringify(former[key]),
      );
      const next = settle(this.#kernel.socket, { ...former, peers: config.peers }, this.#log).config;
      try {
        this.#apply(next.peers);
      } catch (error) {
        this.#apply(former.peers);
        throw error;
      }
      this.#settled = { ...this.#settled, config: next };
      return pending;
    });
  }

  /**
   * Compares the kernel with what it should be and mends it. When the device itself was taken away, the data plane is
   * started again.
   * @returns the changes made, in words
   * @throws RipstopError, NetError
   */
  heal(): Promise<string[]> {
    return this.#inTurn(async () => {
      const { config } = this.#settled;
      const gone = findLink(this.#kernel.socket, config.device) === undefined;
      if (gone) {
        await this.#plane.stop();
        this.#plane = await startPlane(this.#settled, this.#kernel.socket, this.#log);
      }
      const steps = this.#apply(config.peers, gone).map(describeChange);
      return gone ? [`+ device ${config.device}`, ...steps] : steps;
    });
  }

  /** Ends traffic and removes all that was made. Goes on after a failure, which is logged. */
  stop(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#end();
      this.#kernel.close();
    });
  }

  #inTurn<T>(action: () => T | Promise<T>): Promise<T> {
    const turn = this.#turn.then(action);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #desired(peers: readonly NodePeer[]): DesiredState {
    return desiredState(this.#settled.overlay, peers.map(peerOf));
  }

  #apply(peers: readonly NodePeer[], publish = true): KernelChange[] {
    const steps = this.#kernel.apply(
      this.#desired(peers),
      () => publish && this.#plane.setPeers(peers.map(peerOf)),
    );
    for (const step of steps) this.#log.debug({ step: describeChange(step) }, 'kernel state');
    for (const route of this.#kernel.connected(this.#desired(peers))) {
      const { destination, device } = route;
      if (!this.#connected.has(destination))
        this.#log.warn(
          { destination, device },
          'this subnet of a peer is not routed: an interface is connected to it',
        );
      this.#connected.add(destination);
    }
    const [refusal] = this.#kernel.refusals.values();
    if (refusal) throw refusal;
    return steps;
  }

  async #end(): Promise<void> {
    for (const failure of this.#kernel.teardown())
      this.#log.warn({ err: String(failure) }, 'something could not be undone');
    await this.#plane.stop();
  }
}

/** The device is to be made by us: one that is there is someone else's. */
function refuseTaken(socket: NetlinkSocket, device: string): void {
  const link = findLink(socket, device);
  if (!link) return;
  const what =
    link.kind === 'tun'
      ? `a ${link.details.tun?.mode ?? 'tun'} device`
      : `a ${link.kind ?? 'hardware'} device`;
  throw new RipstopError(
    'EINUSE',
    `device ${device}: the name is taken by ${what}`,
    link.kind === 'tun'
      ? 'stop the program that holds it, or set "device" to another name'
      : `remove it (ip link del ${device}), or set "device" to another name`,
  );
}

async function startPlane(
  { config, underlay, overlay, acceptUnfinished }: Settled,
  socket: NetlinkSocket,
  log: Log,
): Promise<DataPlane> {
  const plane = await DataPlane.start({
    mode: config.mode,
    netns: config.namespace,
    deviceName: config.device,
    driver: config.driver,
    address: underlay.address,
    port: config.port,
    vni: config.vni,
    mac: overlay.mac,
    mtu: overlay.mtu,
    underlayMtu: underlay.mtu,
    flood: config.flood,
    sourceCheck: config.gate === 'strict',
    acceptPartialChecksums: acceptUnfinished,
    offloads: config.offloads,
    queues: config.workers,
    sourcePorts: config.sourcePorts,
    busyPollMicroseconds: config.spin,
    log,
  });
  // tuntap2 names its device itself.
  const made = plane.deviceName === config.device ? undefined : findLink(socket, plane.deviceName);
  if (made) changeLink(socket, made.index, { name: config.device });
  if (config.flowTable) monitorOf(plane, config.device).keep();
  return plane;
}
