import { writeFileSync } from 'node:fs';
import { must } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, needs, versionBy } from './tunnel.ts';

const MTU = { 4: 1440, 6: 1420 } as const;
/** Its control socket lies in a folder that all namespaces share, so the name tells maker and node. */
const deviceOf = (node: Node) => `wg${process.pid % 1_000_000}n${node.index}`;

/** WireGuard in user space, in Go. It encrypts, as it must. */
export const wireguardGo: Contender = {
  label: 'wireguard-go',
  unavailable: needs('wireguard-go wireguard-tools', 'wireguard-go', 'wg'),
  version: versionBy(['wireguard-go', '--version'], /wireguard-go v?(\S+)/),
  deploy(lab, { underlay }) {
    const keys = new Map(lab.nodes.map(node => [node, must(['wg', 'genkey']).trim()]));
    const publicKey = (node: Node) => must(['wg', 'pubkey'], keys.get(node)!).trim();
    return deployTunnel(lab, {
      device: deviceOf,
      layer: 3,
      mtu: MTU[underlay],
      start: node => node.ns.launch(['wireguard-go', '--foreground', deviceOf(node)], { env: ENVIRONMENT }),
      configure(node) {
        const file = `${scratch()}/${node.ns.name}-wireguard.key`;
        writeFileSync(file, keys.get(node)!, { mode: 0o600 });
        const peers = lab.nodes.filter(peer => peer !== node);
        const words = peers.flatMap(peer => [
          ...['peer', publicKey(peer), 'endpoint', endpoint(peer.underlay[underlay]), 'allowed-ips'],
          [peer.subnet[4], peer.subnet[6], `${peer.tunnel[4]}/32`, `${peer.tunnel[6]}/128`].join(','),
        ]);
        const own = ['listen-port', '51820', 'private-key', file];
        return node.ns.attempt(['wg', 'set', deviceOf(node), ...own, ...words]).code === 0;
      },
    });
  },
};

/** Where the kernel has WireGuard, the program otherwise only recommends it. */
const ENVIRONMENT = { WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: '1' };
const endpoint = (address: string) => `${address.includes(':') ? `[${address}]` : address}:51820`;
