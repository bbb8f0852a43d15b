import { type Lab, UNDERLAY_DEVICE, UNDERLAY_MTU } from '../topology.ts';
import type { Deployment, DeployOptions } from './deployment.ts';

/** Plain routes over the underlay, as flannel's host-gw. */
export function deployRoutes(lab: Lab, { underlay }: DeployOptions): Deployment {
  for (const node of lab.nodes) {
    for (const peer of lab.nodes) {
      if (peer === node) continue;
      // A route may lead over a next hop of the other family.
      const via = (family: 4 | 6) => (family === underlay ? 'via' : underlay === 6 ? 'via inet6' : undefined);
      for (const family of [4, 6] as const) {
        const word = via(family);
        if (word === undefined) continue;
        node.ns.ip(
          `route add ${peer.subnet[family]} ${word} ${peer.underlay[underlay]} dev ${UNDERLAY_DEVICE}`,
        );
      }
    }
  }
  lab.podMtu(UNDERLAY_MTU);
  return {
    mtu: UNDERLAY_MTU,
    async stop() {
      for (const node of lab.nodes) {
        for (const peer of lab.nodes) {
          if (peer === node) continue;
          for (const family of [4, 6] as const)
            node.ns.attempt(['ip', 'route', 'delete', peer.subnet[family]]);
        }
      }
    },
  };
}
