import { mkdirSync, writeFileSync } from 'node:fs';
import type { Family } from '../../../encap/encap.ts';
import { must } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import type { Contender } from '../contender.ts';
import { deployTunnel, needs, versionBy } from './tunnel.ts';

const DEVICE = 'tinc0';
/** What tinc itself allows an Ethernet frame of 1500 to carry. */
const MTU = { 4: 1432, 6: 1412 } as const;

/** tinc 1.0 as a switch, neither cipher nor digest. */
export const tinc: Contender = {
  label: 'tinc',
  unavailable: needs('tinc', 'tincd'),
  version: versionBy(['tincd', '--version'], /tinc version (\S+)/),
  deploy(lab, { underlay }) {
    const folders = new Map(lab.nodes.map(node => [node, configure(lab, node, underlay)]));
    exchangeKeys(lab, folders);
    return deployTunnel(lab, {
      device: DEVICE,
      layer: 2,
      mtu: MTU[underlay],
      start: node => {
        const folder = folders.get(node)!;
        return node.ns.launch(['tincd', '-c', folder, '-D', `--pidfile=${folder}/pid`]);
      },
    });
  },
};

const nameOf = (node: Node) => `node${node.index}`;

/** Own configuration, and a key pair whose public half tinc appends to the host file. */
function configure(lab: Lab, node: Node, underlay: Family): string {
  const folder = `${scratch()}/${node.ns.name}-tinc`;
  mkdirSync(`${folder}/hosts`, { recursive: true });
  const others = lab.nodes.filter(peer => peer !== node);
  const lines = [
    `Name = ${nameOf(node)}`,
    'Mode = switch',
    'DeviceType = tap',
    `Interface = ${DEVICE}`,
    `BindToAddress = ${node.underlay[underlay]}`,
    `AddressFamily = ipv${underlay}`,
    ...others.map(peer => `ConnectTo = ${nameOf(peer)}`),
  ];
  writeFileSync(`${folder}/tinc.conf`, `${lines.join('\n')}\n`);
  const host = [
    `Address = ${node.underlay[underlay]}`,
    'Cipher = none',
    'Digest = none',
    'Compression = 0',
    '',
  ];
  writeFileSync(`${folder}/hosts/${nameOf(node)}`, host.join('\n'));
  must(['tincd', '-c', folder, '-K2048']);
  return folder;
}

function exchangeKeys(lab: Lab, folders: ReadonlyMap<Node, string>): void {
  for (const node of lab.nodes) {
    for (const peer of lab.nodes) {
      if (peer === node) continue;
      must(['cp', `${folders.get(peer)}/hosts/${nameOf(peer)}`, `${folders.get(node)}/hosts/`]);
    }
  }
}
