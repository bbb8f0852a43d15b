import { UNDERLAY_MTU } from '../../../src/lab/topology.ts';
import { tool } from '../../lab/tool.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, peerArguments } from './tunnel.ts';

const OVERHEAD = { 4: 28, 6: 48 } as const;
const DEVICE = 'onecall0';

/** The loop that flannel's udp backend is: one packet, one read, one sendto (one-call.c). */
export const oneCall: Contender = {
  label: 'one call (C)',
  unavailable: () => undefined,
  deploy: (lab, { underlay }) =>
    deployTunnel(lab, {
      device: DEVICE,
      layer: 3,
      mtu: UNDERLAY_MTU - OVERHEAD[underlay],
      start: node =>
        node.ns.launch([
          tool('one-call'),
          DEVICE,
          node.underlay[underlay],
          '8285',
          ...peerArguments(lab, node, underlay),
        ]),
    }),
};
