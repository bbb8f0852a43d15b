import { writeFileSync } from 'node:fs';
import { must } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { findRival } from './built.ts';
import { deployTunnel, needsBuilt, versionBy } from './tunnel.ts';

const DEVICE = 'nebula0';
const MTU = { 4: 1440, 6: 1420 } as const;
const PORT = 4242;
/** Nebula has addresses of its own; pod subnets hang on them as "unsafe routes" that the certificates allow. */
const addressOf = (node: Node) => `192.168.100.${node.index}`;

/** Nebula, AES-GCM, which it cannot do without. Its pods' side is IPv4 alone. */
export const nebula: Contender = {
  label: 'nebula, AES',
  sealed: true,
  unavailable: needsBuilt('nebula', 'nebula-cert'),
  version: versionBy(['nebula', '-version'], /Version: (\S+)/),
  deploy(lab, { underlay }) {
    const folder = scratch();
    const [program, cert] = [findRival('nebula')!, findRival('nebula-cert')!];
    const ca = `${folder}/${lab.nodes[0]!.ns.name}-nebula-ca`;
    must([cert, 'ca', '-name', 'bench', '-out-crt', `${ca}.crt`, '-out-key', `${ca}.key`]);
    return deployTunnel(lab, {
      device: DEVICE,
      layer: 3,
      mtu: MTU[underlay],
      start(node) {
        const stem = `${folder}/${node.ns.name}-nebula`;
        const sign = [cert, 'sign', '-ca-crt', `${ca}.crt`, '-ca-key', `${ca}.key`];
        const name = `node${node.index}`;
        const subject = ['-name', name, '-ip', `${addressOf(node)}/24`, '-subnets', node.subnet[4]];
        must([...sign, ...subject, '-out-crt', `${stem}.crt`, '-out-key', `${stem}.key`]);
        const settings = configuration(lab, node, underlay, { ca: `${ca}.crt`, stem });
        writeFileSync(`${stem}.yml`, JSON.stringify(settings));
        return node.ns.launch([program, '-config', `${stem}.yml`]);
      },
    });
  },
};

function configuration(
  lab: Lab,
  node: Node,
  underlay: 4 | 6,
  { ca, stem }: { ca: string; stem: string },
): object {
  const peers = lab.nodes.filter(peer => peer !== node);
  const reach = (address: string) => `${underlay === 6 ? `[${address}]` : address}:${PORT}`;
  const any = [{ port: 'any', proto: 'any', host: 'any' }];
  return {
    pki: { ca, cert: `${stem}.crt`, key: `${stem}.key` },
    static_host_map: Object.fromEntries(
      peers.map(peer => [addressOf(peer), [reach(peer.underlay[underlay])]]),
    ),
    lighthouse: { am_lighthouse: false, hosts: [] },
    listen: { host: node.underlay[underlay], port: PORT },
    tun: {
      dev: DEVICE,
      mtu: MTU[underlay],
      unsafe_routes: peers.map(peer => ({ route: peer.subnet[4], via: addressOf(peer), mtu: MTU[underlay] })),
    },
    // From 1.10 on a rule does not cover unsafe routes by itself; older versions ignore the key.
    firewall: { outbound: any, inbound: any, default_local_cidr_any: true },
    logging: { level: 'error' },
  };
}
