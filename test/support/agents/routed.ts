import type { Lab } from '../../../bench/lab/topology.ts';
import { labFor, namespaceFor } from '../lab.ts';

type Owner = Parameters<typeof labFor>[0];

export interface RoutedLab extends Lab {
  /** Lowers or raises the MTU of the link between router and node 2. */
  shrink(mtu: number): void;
}

/**
 * Two nodes with a router between them, so that a path can be narrower than either node's own link:
 *
 *   node 1 --172.31.1.0/24-- router --172.31.2.0/24-- node 2
 */
export function routedLabFor(t: Owner): RoutedLab {
  const lab = labFor(t);
  const router = namespaceFor(t);
  router.sysctl(
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
    'net.ipv6.conf.all.accept_dad=0',
    'net.ipv6.conf.default.accept_dad=0',
  );
  lab.nodes[0]!.ns.ip('link delete eth0');
  for (const node of lab.nodes) {
    const [link, six] = [`172.31.${node.index}`, `fd31:${node.index}:`];
    router.ip(
      `link add node${node.index} type veth peer name eth0 netns ${node.ns.name}`,
      `link set node${node.index} up`,
      `addr add ${link}.1/24 dev node${node.index}`,
      `addr add ${six}:1/64 dev node${node.index} nodad`,
    );
    node.ns.ip(
      'link set eth0 up',
      `addr add ${link}.2/24 dev eth0`,
      `addr add ${six}:2/64 dev eth0 nodad`,
      `route add 172.31.0.0/16 via ${link}.1`,
      `route add fd31::/16 via ${six}:1`,
    );
    node.underlay = { 4: `${link}.2`, 6: `${six}:2` };
  }
  const shrink = (mtu: number) => {
    router.ip(`link set node2 mtu ${mtu}`);
    lab.nodes[1]!.ns.ip(`link set eth0 mtu ${mtu}`);
  };
  return { ...lab, shrink };
}
