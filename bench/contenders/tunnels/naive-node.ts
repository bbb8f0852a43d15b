import { fileURLToPath } from 'node:url';
import { UNDERLAY_MTU } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, peerArguments } from './tunnel.ts';

const OVERHEAD = { 4: 28, 6: 48 } as const;
const PROGRAM = fileURLToPath(new URL('./naive-tunnel.js', import.meta.url));
/** The package lets the kernel name its device; in a fresh namespace that is the first. */
const DEVICE = 'tun0';

/** What this project set out from: the tuntap2 fork and node:dgram, a packet at a time. */
export const naiveNode: Contender = {
  label: 'naive Node',
  unavailable: () => undefined,
  deploy: (lab, { underlay }) =>
    deployTunnel(lab, {
      device: DEVICE,
      layer: 3,
      mtu: UNDERLAY_MTU - OVERHEAD[underlay],
      start: node =>
        node.ns.launch([
          process.execPath,
          PROGRAM,
          '8285',
          node.underlay[underlay],
          ...peerArguments(lab, node, underlay),
        ]),
    }),
};
