import { Namespace } from './namespace.ts';

/*
 *  pod 1 ── veth ── cni0 ┐                                  ┌ cni0 ── veth ── pod 2
 *        10.244.1.2      └ node 1  eth0 ══ underlay ══ eth0 node 2 ┘      10.244.2.2
 *
 * Two nodes share one veth pair; from three on, a switch namespace joins them. Nothing reaches the machine's own
 * network. Every node has IPv4 and IPv6 on both sides, so a test chooses families by the addresses it uses.
 */

export const UNDERLAY_MTU = 1500;
/** The device that faces the underlay, in every node. */
export const UNDERLAY_DEVICE = 'eth0';

/** Offloads of the underlay devices, by `ethtool -K`. */
export const CONDITIONS = {
  def: ['tx on', 'tso on', 'gso on', 'tx-udp-segmentation on', 'gro off'],
  nic: ['tx on', 'tso off', 'gso on', 'tx-udp-segmentation off', 'gro on'],
  wire: ['tx on', 'tso off', 'gso off', 'tx-udp-segmentation on', 'gro off'],
  wiregro: ['tx on', 'tso off', 'gso off', 'tx-udp-segmentation on', 'gro on'],
  wirecs: ['tso off', 'gso off', 'gro on', 'tx off'],
} as const;
export type LabCondition = keyof typeof CONDITIONS;

/** What a table says of each condition. */
export const CONDITION_TEXTS: Readonly<Record<LabCondition, string>> = {
  def: 'veth default',
  nic: 'no TSO, no UDP segmentation; GSO, GRO, checksum offload',
  wire: 'no TSO/GSO',
  wiregro: 'no TSO/GSO, GRO',
  wirecs: 'no TSO/GSO, GRO, no checksum offload',
};

export interface Dual {
  4: string;
  6: string;
}

export interface Pod {
  ns: Namespace;
  address: Dual;
}

export interface Node {
  ns: Namespace;
  /** 1-based, and the third byte of its pod subnet. */
  index: number;
  underlay: Dual;
  /** Pod subnets in CIDR form. */
  subnet: Dual;
  /** Address of `cni0`, the pods' gateway. */
  gateway: Dual;
  /** First address of the subnet, which flannel gives to the tunnel device. */
  tunnel: Dual;
  pods: Pod[];
}

export interface Lab {
  nodes: Node[];
  /** The namespace of the underlay switch; undefined with two nodes, which share a veth pair. */
  fabric: Namespace | undefined;
  /** Sets the underlay's offloads on every node. */
  condition(name: LabCondition): void;
  /** Sets the MTU of `cni0` and of both ends of the pods' veth pairs. */
  podMtu(mtu: number): void;
  remove(): void;
}

export interface LabOptions {
  nodes?: number;
  podsPerNode?: number;
  /** MTU of the pods before a contender sets its own. */
  podMtu?: number;
}

/** Builds nodes, underlay and pods. On an error nothing is left behind. */
export function buildLab({ nodes: count = 2, podsPerNode = 1, podMtu = 1450 }: LabOptions = {}): Lab {
  const made: Namespace[] = [];
  const create = () => {
    const ns = Namespace.create();
    made.push(ns);
    return ns;
  };
  const remove = () => {
    for (const ns of made.splice(0)) ns.remove();
  };
  try {
    const nodes = Array.from({ length: count }, (_, i) => buildNode(create(), i + 1));
    const fabric = count > 2 ? create() : undefined;
    if (fabric) joinBySwitch(fabric, nodes);
    else joinByCable(nodes);
    for (const node of nodes) {
      for (let p = 0; p < podsPerNode; p++) addPod(node, create());
    }
    const lab: Lab = {
      nodes,
      fabric,
      condition: name => setCondition(nodes, fabric, name),
      podMtu: mtu => {
        for (const node of nodes) setPodMtu(node, mtu);
      },
      remove,
    };
    lab.podMtu(podMtu);
    return lab;
  } catch (error) {
    remove();
    throw error;
  }
}

function buildNode(ns: Namespace, index: number): Node {
  const hex = index.toString(16);
  const node: Node = {
    ns,
    index,
    underlay: { 4: `172.31.0.${index}`, 6: `fd31::${hex}` },
    subnet: { 4: `10.244.${index}.0/24`, 6: `fd00:10:244:${hex}::/64` },
    gateway: { 4: `10.244.${index}.1`, 6: `fd00:10:244:${hex}::1` },
    tunnel: { 4: `10.244.${index}.0`, 6: `fd00:10:244:${hex}::` },
    pods: [],
  };
  // Duplicate address detection would keep every IPv6 address waiting for a second.
  ns.sysctl(
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
    'net.ipv6.conf.all.accept_dad=0',
    'net.ipv6.conf.default.accept_dad=0',
  );
  ns.ip(
    'link add cni0 type bridge',
    'link set cni0 up',
    `addr add ${node.gateway[4]}/24 dev cni0`,
    `addr add ${node.gateway[6]}/64 dev cni0 nodad`,
  );
  return node;
}

function addressUnderlay(node: Node): void {
  node.ns.ip(
    `link set ${UNDERLAY_DEVICE} mtu ${UNDERLAY_MTU} up`,
    `addr add ${node.underlay[4]}/24 dev ${UNDERLAY_DEVICE}`,
    `addr add ${node.underlay[6]}/64 dev ${UNDERLAY_DEVICE} nodad`,
  );
}

function joinByCable(nodes: readonly Node[]): void {
  const [left, right] = nodes;
  if (right)
    left!.ns.ip(`link add ${UNDERLAY_DEVICE} type veth peer name ${UNDERLAY_DEVICE} netns ${right.ns.name}`);
  else left!.ns.ip(`link add ${UNDERLAY_DEVICE} type dummy`);
  nodes.forEach(addressUnderlay);
}

function joinBySwitch(fabric: Namespace, nodes: readonly Node[]): void {
  fabric.ip(`link add br0 mtu ${UNDERLAY_MTU} type bridge`, 'link set br0 up');
  for (const node of nodes) {
    fabric.ip(
      `link add port${node.index} mtu ${UNDERLAY_MTU} type veth peer name ${UNDERLAY_DEVICE} netns ${node.ns.name}`,
      `link set port${node.index} master br0 up`,
    );
    addressUnderlay(node);
  }
}

function addPod(node: Node, ns: Namespace): void {
  const host = node.pods.length + 2;
  const pod: Pod = {
    ns,
    address: { 4: `10.244.${node.index}.${host}`, 6: `${node.tunnel[6]}${host.toString(16)}` },
  };
  ns.sysctl('net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0');
  node.ns.ip(
    `link add pod${host} type veth peer name eth0 netns ${ns.name}`,
    `link set pod${host} master cni0 up`,
  );
  ns.ip(
    'link set eth0 up',
    `addr add ${pod.address[4]}/24 dev eth0`,
    `addr add ${pod.address[6]}/64 dev eth0 nodad`,
    `route add default via ${node.gateway[4]}`,
    `route add ::/0 via ${node.gateway[6]}`,
  );
  node.pods.push(pod);
}

function setPodMtu(node: Node, mtu: number): void {
  node.pods.forEach((pod, i) => {
    pod.ns.ip(`link set eth0 mtu ${mtu}`);
    node.ns.ip(`link set pod${i + 2} mtu ${mtu}`);
  });
  node.ns.ip(`link set cni0 mtu ${mtu}`);
}

function setCondition(nodes: readonly Node[], fabric: Namespace | undefined, name: LabCondition): void {
  const settings = CONDITIONS[name].flatMap(pair => pair.split(' '));
  for (const node of nodes) {
    node.ns.must(['ethtool', '-K', UNDERLAY_DEVICE, ...settings]);
    fabric?.must(['ethtool', '-K', `port${node.index}`, ...settings]);
  }
}
