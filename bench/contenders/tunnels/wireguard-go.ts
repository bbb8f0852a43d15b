import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Node } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { findRival } from './built.ts';
import { deployTunnel, needsBuilt, versionBy } from './tunnel.ts';

const MTU = { 4: 1440, 6: 1420 } as const;
/** Its control socket lies in a folder that all namespaces share, so the name tells maker and node. */
const deviceOf = (node: Node) => `wg${process.pid % 1_000_000}n${node.index}`;

/** WireGuard in user space, in Go. It encrypts, as it must. */
export const wireguardGo: Contender = {
  label: 'wireguard-go',
  sealed: true,
  unavailable: needsBuilt('wireguard-go'),
  version: versionBy(['wireguard-go', '--version'], /wireguard-go v?(\S+)/),
  deploy(lab, { underlay }) {
    const keys = new Map(lab.nodes.map(node => [node, generateKeyPairSync('x25519')]));
    const program = findRival('wireguard-go')!;
    return deployTunnel(lab, {
      device: deviceOf,
      layer: 3,
      mtu: MTU[underlay],
      start: node => node.ns.launch([program, '--foreground', deviceOf(node)], { env: ENVIRONMENT }),
      configure(node) {
        const peers = lab.nodes.filter(peer => peer !== node);
        const subnets = (peer: Node) => [
          ...[peer.subnet[4], peer.subnet[6], `${peer.tunnel[4]}/32`, `${peer.tunnel[6]}/128`],
        ];
        return set(deviceOf(node), [
          `private_key=${hex(keys.get(node)!.privateKey, 'd')}`,
          'listen_port=51820',
          ...peers.flatMap(peer => [
            `public_key=${hex(keys.get(peer)!.publicKey, 'x')}`,
            `endpoint=${endpoint(peer.underlay[underlay])}`,
            ...subnets(peer).map(subnet => `allowed_ip=${subnet}`),
          ]),
        ]);
      },
    });
  },
};

/** Where the kernel has WireGuard, the program otherwise only recommends it. */
const ENVIRONMENT = { WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: '1' };
const endpoint = (address: string) => `${address.includes(':') ? `[${address}]` : address}:51820`;

/** The 32 bytes of a key. @param part `d` of a private one, `x` of a public one (RFC 8037) */
const hex = (key: KeyObject, part: 'd' | 'x') =>
  Buffer.from(key.export({ format: 'jwk' })[part]!, 'base64url').toString('hex');

/** Configures a device by its socket (https://www.wireguard.com/xplatform/), for which `wg` need not be installed. */
async function set(device: string, lines: readonly string[]): Promise<boolean> {
  const socket = createConnection(`/var/run/wireguard/${device}.sock`);
  socket.end(`${['set=1', ...lines].join('\n')}\n\n`);
  return /^errno=0$/m.test(await text(socket));
}
