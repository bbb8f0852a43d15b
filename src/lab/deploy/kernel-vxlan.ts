import { attempt, must } from '../command.ts';
import { type Lab, type Node, UNDERLAY_DEVICE, UNDERLAY_MTU } from '../topology.ts';
import type { Deployment, DeployOptions } from './deployment.ts';

export interface KernelVxlanOptions {
  vni?: number;
  port?: number;
  /** Outer UDP checksum; undefined leaves the kernel's default for the family. */
  checksum?: boolean;
}

/** Bytes that VXLAN adds: outer IP, UDP, VXLAN and inner Ethernet headers. */
const OVERHEAD = { 4: 50, 6: 70 } as const;
const DEVICE = 'flannel.1';

/** A locally administered address that names the node. */
const vtepMac = (node: Node) => `0a:58:fe:00:00:${node.index.toString(16).padStart(2, '0')}`;

/** Why this kernel makes no vxlan device, or undefined when it does. */
export function noKernelVxlan(): string | undefined {
  const link = ['ip', 'link', 'add', 'probe', 'type', 'vxlan', 'id', '1', 'dstport', '8472'];
  const { code, stderr } = attempt(['unshare', '--net', ...link]);
  return code === 0 ? undefined : `this kernel makes no vxlan device (${stderr.trim()})`;
}

/** A vxlan device of the kernel on every node, set up as flannel's vxlan backend does: nothing learned, everything written down. */
export function deployKernelVxlan(
  lab: Lab,
  { underlay }: DeployOptions,
  { vni = 1, port = 8472, checksum }: KernelVxlanOptions = {},
): Deployment {
  const mtu = UNDERLAY_MTU - OVERHEAD[underlay];
  const csum = checksum === undefined ? '' : underlay === 4 ? udpChecksum4(checksum) : udpChecksum6(checksum);
  const stop = async () => {
    for (const node of lab.nodes) node.ns.attempt(['ip', 'link', 'delete', DEVICE]);
  };
  try {
    for (const node of lab.nodes) {
      node.ns.ip(
        `link add ${DEVICE} address ${vtepMac(node)} type vxlan id ${vni} dev ${UNDERLAY_DEVICE} ` +
          `local ${node.underlay[underlay]} dstport ${port} nolearning ${csum}`,
        `link set ${DEVICE} mtu ${mtu} up`,
        `addr add ${node.tunnel[4]}/32 dev ${DEVICE}`,
        `addr add ${node.tunnel[6]}/128 dev ${DEVICE} nodad`,
      );
      for (const peer of lab.nodes) if (peer !== node) addPeer(node, peer, peer.underlay[underlay]);
    }
    lab.podMtu(mtu);
  } catch (error) {
    void stop();
    throw error;
  }
  return { mtu, stop };
}

const udpChecksum4 = (on: boolean) => (on ? 'udpcsum' : 'noudpcsum');
const udpChecksum6 = (on: boolean) => (on ? 'noudp6zerocsumtx' : 'udp6zerocsumtx udp6zerocsumrx');

/** Neighbour, forwarding entry and route, in flannel's order. */
function addPeer(node: Node, peer: Node, remote: string): void {
  const mac = vtepMac(peer);
  must(['bridge', '-n', node.ns.name, 'fdb', 'add', mac, 'dev', DEVICE, 'dst', remote, 'self', 'permanent']);
  for (const family of [4, 6] as const) {
    node.ns.ip(
      `neigh add ${peer.tunnel[family]} lladdr ${mac} dev ${DEVICE} nud permanent`,
      `route add ${peer.subnet[family]} via ${peer.tunnel[family]} dev ${DEVICE} onlink`,
    );
  }
}
