import { UNDERLAY_DEVICE, UNDERLAY_MTU } from '../lab/topology.ts';
import type { Contender } from './contender.ts';

/** No overlay: plain routes over the underlay, as flannel's host-gw. What every tunnel is measured against. */
export const noOverlay: Contender = {
  label: 'no overlay',
  unavailable: () => undefined,
  async deploy(lab, { underlay }) {
    for (const node of lab.nodes) {
      for (const peer of lab.nodes) {
        if (peer === node) continue;
        // A route may lead over a next hop of the other family.
        const via = (family: 4 | 6) =>
          family === underlay ? 'via' : underlay === 6 ? 'via inet6' : undefined;
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
  },
};
