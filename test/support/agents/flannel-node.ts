import { must } from '../../../bench/lab/command.ts';
import { type Node, UNDERLAY_DEVICE } from '../../../bench/lab/topology.ts';

/** A lease as etcd has it. */
interface Value {
  PublicIP: string;
  BackendData: { VNI: number; VtepMAC: string };
}

/**
 * A node laid out exactly as flannel's vxlan backend lays out the kernel, from leases in flannel's own form: device,
 * base address /32, and for each peer a permanent neighbour, a forwarding entry and an onlink route.
 */
export class FlannelNode {
  readonly node: Node;
  readonly mac: string;

  constructor(node: Node, mac: string) {
    this.node = node;
    this.mac = mac;
    node.ns.ip(
      `link add flannel.1 address ${mac} type vxlan id 1 dev ${UNDERLAY_DEVICE} local ${node.underlay[4]} dstport 8472 nolearning`,
      'link set flannel.1 mtu 1450 up',
      `addr add ${node.tunnel[4]}/32 dev flannel.1`,
    );
  }

  get key(): string {
    return this.node.subnet[4].replace('/', '-');
  }

  /** What flannel writes for it. */
  get value(): string {
    return `{"PublicIP":"${this.node.underlay[4]}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${this.mac}"}}`;
  }

  /** Takes in another node's lease: key as `10.244.1.0-24`. */
  learn(key: string, json: string): void {
    const { PublicIP, BackendData } = JSON.parse(json) as Value;
    const subnet = key.replace(/-(\d+)$/, '/$1');
    const base = subnet.split('/')[0]!;
    const { ns } = this.node;
    ns.ip(`neigh replace ${base} lladdr ${BackendData.VtepMAC} dev flannel.1 nud permanent`);
    must([
      'bridge',
      '-n',
      ns.name,
      'fdb',
      'replace',
      BackendData.VtepMAC,
      'dev',
      'flannel.1',
      'dst',
      PublicIP,
      'self',
      'permanent',
    ]);
    ns.ip(`route replace ${subnet} via ${base} dev flannel.1 onlink`);
  }
}
