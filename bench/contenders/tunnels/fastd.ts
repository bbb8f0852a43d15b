import { writeFileSync } from 'node:fs';
import { must } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, needs, otherOf, versionBy } from './tunnel.ts';

const DEVICE = 'fastd0';
const PORT = 10000;
/** Outer IP and UDP, a type byte, inner Ethernet. */
const MTU = { 4: 1500 - 28 - 1 - 14, 6: 1500 - 48 - 1 - 14 } as const;

/** fastd over a TAP, method null: its handshake is authenticated, its packets are neither that nor encrypted. */
export const fastd: Contender = {
  label: 'fastd, null',
  unavailable: needs('fastd', 'fastd'),
  version: versionBy(['fastd', '--version'], /fastd v?(\S+)/),
  deploy(lab, { underlay }) {
    const secrets = new Map<Node, string>(
      lab.nodes.map(node => [node, must(['fastd', '--generate-key', '--machine-readable']).trim()]),
    );
    const publicKey = (node: Node) =>
      must(
        ['fastd', '--config', '-', '--show-key', '--machine-readable'],
        `secret "${secrets.get(node)}";`,
      ).trim();
    const bracketed = (address: string) => (underlay === 6 ? `[${address}]` : address);
    return deployTunnel(lab, {
      device: DEVICE,
      layer: 2,
      mtu: MTU[underlay],
      start(node) {
        const peer = otherOf(lab, node);
        const file = `${scratch()}/${node.ns.name}-fastd.conf`;
        const lines = [
          'mode tap;',
          `interface "${DEVICE}";`,
          `mtu ${MTU[underlay]};`,
          'method "null";',
          `bind ${bracketed(node.underlay[underlay])}:${PORT};`,
          `secret "${secrets.get(node)}";`,
          `peer "node${peer.index}" {`,
          `  key "${publicKey(peer)}";`,
          `  remote ${bracketed(peer.underlay[underlay])}:${PORT};`,
          '}',
        ];
        writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
        return node.ns.launch(['fastd', '--config', file]);
      },
    });
  },
};
