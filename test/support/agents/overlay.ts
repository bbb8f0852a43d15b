import type { Test } from 'tap';
import { must } from '../../../bench/lab/command.ts';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import type { Dual, Family, Lab, Node } from '../../../bench/lab/topology.ts';
import { UNDERLAY_DEVICE, UNDERLAY_MTU } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';
import type { Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { innerMtu } from '../../../encap/mtu.ts';
import { createLog } from '../../../src/base/log.ts';
import { DataPlane, type DataPlaneOptions } from '../../../src/dataplane/dataplane.ts';
import type { Peer } from '../../../src/dataplane/descriptor/peer.ts';
import { ALL_OFFLOADS } from '../../../src/dataplane/io/offloads.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';

/*
 * Overlays on the nodes of a lab, node by node, so that a Ripstop data plane (in this process) and the kernel's vxlan
 * device can face each other. What the agent does to device and routes is done here by iproute2, in flannel's layout.
 */

export const DEVICE: Readonly<Record<Mode, string>> = { vxlan: 'flannel.1', udp: 'flannel0' };
export const PORT: Readonly<Record<Mode, number>> = { vxlan: 8472, udp: 8285 };
export const VNI = 1;

/** A locally administered address that names the node. */
export const vtepMac = (node: { index: number }) =>
  `0a:58:fc:00:00:${node.index.toString(16).padStart(2, '0')}`;

/** The largest inner packet on a lab's underlay. */
export const overlayMtu = (mode: Mode, underlay: Family) => innerMtu(FORMATS[mode], underlay, UNDERLAY_MTU);

export interface OverlayWish extends Partial<DataPlaneOptions> {
  readonly mode?: Mode;
  readonly underlay?: Family;
  /** Permanent neighbour entries, as flannel writes them; false leaves resolution to ARP and ND. Default true. */
  readonly neighbours?: boolean;
}

interface Owner {
  teardown(undo: () => unknown): void;
}

/** What a node's peers call it. */
export function peerFor(node: Node, { mode = 'vxlan', underlay = 4 }: OverlayWish): Peer {
  return {
    id: `node${node.index}`,
    address: node.underlay[underlay],
    mac: mode === 'vxlan' ? vtepMac(node) : undefined,
    subnets: [node.subnet[4], node.subnet[6]].map(requirePrefix),
  };
}

/** Ripstop on one node, with `peers`; device, addresses, neighbours and routes in place. Ends with `stop()`. */
export async function deployRipstop(
  node: Node,
  peers: readonly Node[],
  wish: OverlayWish = {},
): Promise<DataPlane> {
  const { mode = 'vxlan', underlay = 4, neighbours = true, ...options } = wish;
  const mtu = options.mtu ?? overlayMtu(mode, underlay);
  const plane = await DataPlane.start({
    mode,
    netns: node.ns.path,
    deviceName: DEVICE[mode],
    address: node.underlay[underlay],
    port: PORT[mode],
    vni: VNI,
    mac: mode === 'vxlan' ? vtepMac(node) : undefined,
    mtu,
    underlayMtu: UNDERLAY_MTU,
    flood: false,
    sourceCheck: true,
    acceptPartialChecksums: false,
    offloads: ALL_OFFLOADS,
    queues: 1,
    sourcePorts: 16,
    busyPollMicroseconds: 0,
    log: createLog('error'),
    ...options,
  });
  try {
    plane.setPeers(peers.map(peer => peerFor(peer, wish)));
    const mac = mode === 'vxlan' ? `address ${vtepMac(node)}` : '';
    node.ns.ip(`link set ${DEVICE[mode]} ${mac} mtu ${mtu} txqueuelen 10000 up`, ...addresses(node, mode));
    for (const peer of peers) routeTo(node, peer, mode, neighbours);
  } catch (error) {
    await plane.stop();
    throw error;
  }
  return plane;
}

/** Ripstop on every node of the lab, each knowing all others; stopped with the test. */
export async function overlayFor(t: Owner, lab: Lab, wish: OverlayWish = {}): Promise<DataPlane[]> {
  const planes: DataPlane[] = [];
  t.teardown(() => Promise.all(planes.map(plane => plane.stop())));
  for (const node of lab.nodes) {
    planes.push(
      await deployRipstop(
        node,
        lab.nodes.filter(peer => peer !== node),
        wish,
      ),
    );
  }
  lab.podMtu(wish.mtu ?? overlayMtu(wish.mode ?? 'vxlan', wish.underlay ?? 4));
  return planes;
}

export interface KernelWish {
  readonly underlay?: Family;
  /** Outer UDP checksum on transmit; undefined: the kernel's default (none on IPv4, one on IPv6). */
  readonly checksum?: boolean | undefined;
  /** Remote checksum offload, both ways. */
  readonly remoteChecksum?: boolean;
  readonly vni?: number;
  readonly port?: number;
}

/** The kernel's vxlan device on one node, laid out as flannel's vxlan backend lays it. @returns its removal */
export function deployKernelVxlan(
  node: Node,
  peers: readonly Node[],
  { underlay = 4, checksum, remoteChecksum = false, vni = VNI, port = PORT.vxlan }: KernelWish = {},
): () => void {
  const device = DEVICE.vxlan;
  const zero = checksum ? 'noudp6zerocsumtx noudp6zerocsumrx' : 'udp6zerocsumtx udp6zerocsumrx';
  const four = checksum ? 'udpcsum' : 'noudpcsum';
  const words = checksum === undefined ? '' : underlay === 4 ? four : zero;
  node.ns.ip(
    `link add ${device} address ${vtepMac(node)} type vxlan id ${vni} dev ${UNDERLAY_DEVICE} ` +
      `local ${node.underlay[underlay]} dstport ${port} nolearning ${words} ${remoteChecksum ? 'remcsumtx remcsumrx' : ''}`,
    `link set ${device} mtu ${overlayMtu('vxlan', underlay)} up`,
    ...addresses(node, 'vxlan'),
  );
  const fdb = ['bridge', '-n', node.ns.name, 'fdb', 'add'];
  for (const peer of peers) {
    must([...fdb, vtepMac(peer), 'dev', device, 'dst', peer.underlay[underlay], 'self', 'permanent']);
    routeTo(node, peer, 'vxlan', true);
  }
  return () => void node.ns.attempt(['ip', 'link', 'delete', device]);
}

function addresses(node: Node, mode: Mode): string[] {
  return [
    `addr add ${node.tunnel[4]}/32 dev ${DEVICE[mode]}`,
    `addr add ${node.tunnel[6]}/128 dev ${DEVICE[mode]} nodad`,
  ];
}

/** Neighbour and onlink route in `vxlan`, a plain route in `udp`. */
export function routeTo(node: Node, peer: Node, mode: Mode, neighbours: boolean): void {
  for (const family of [4, 6] as const) {
    const via =
      mode === 'vxlan' ? `via ${peer.tunnel[family]} dev ${DEVICE.vxlan} onlink` : `dev ${DEVICE.udp}`;
    if (mode === 'vxlan' && neighbours)
      node.ns.ip(
        `neigh replace ${peer.tunnel[family]} lladdr ${vtepMac(peer)} dev ${DEVICE.vxlan} nud permanent`,
      );
    node.ns.ip(`route replace ${peer.subnet[family]} ${via}`);
  }
}

/** The verdicts of a plane that are not zero, frames only: what a test compares. */
export function verdicts(plane: DataPlane): Record<string, number> {
  const counted = Object.entries(plane.counters().verdicts).filter(([, tally]) => tally.frames > 0);
  return Object.fromEntries(counted.map(([name, tally]) => [name, tally.frames]));
}

/** Frames that one verdict has counted. */
export function counted(plane: DataPlane, verdict: string): number {
  const tally = plane.counters().verdicts[verdict];
  if (!tally) throw new Error(`there is no verdict ${verdict}`);
  return tally.frames;
}

/** The addresses of a pod and what stands for it on the other side. */
export const podAddress = (node: Node, family: keyof Dual) => node.pods[0]!.address[family];

/**
 * Arguments of ping for `count` requests at once. Once an answer has come, ping waits for the others as long as the longer
 * of its interval and two round trips (iputils), and ends with the last one. A short interval therefore loses answers on
 * a busy machine; at once, a long one costs nothing.
 */
export const allAtOnce = (count: number): string[] => ['-c', `${count}`, '-l', `${count}`, '-i', '10'];

/** Asserts that a verdict comes to be counted so many times, and no more. */
export async function counts(
  t: Pick<Test, 'equal'>,
  plane: DataPlane,
  verdict: Parameters<typeof counted>[1],
  wanted: number,
  message?: string,
): Promise<void> {
  await until(verdict, () => counted(plane, verdict) >= wanted).catch(() => {});
  t.equal(counted(plane, verdict), wanted, `${message ?? verdict}: ${JSON.stringify(verdicts(plane))}`);
}

/**
 * ICMP echo, all at once.
 * @param wait seconds to wait for an answer when none has come
 * @returns how many came back
 */
export async function pings(
  from: Namespace,
  address: string,
  { count = 3, bytes = 56, wait = 10 }: { count?: number; bytes?: number; wait?: number } = {},
): Promise<number> {
  const run = from.launch([
    ...['ping', '-n', '-q', ...allAtOnce(count), '-W', `${wait}`, '-s', `${bytes}`, address],
  ]);
  await run.ended;
  return Number(/, (\d+) received/.exec(run.stdout)?.[1] ?? 0);
}
