import { readFileSync } from 'node:fs';
import { messageOf } from '../../../base/errors.ts';
import { readNetwork, writeAddress } from '../../ipam/address-number.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';

/** What flanneld (or the Ripstop agent) tells of this node. */
export interface SubnetEnv {
  /** Networks of the whole cluster, canonical CIDRs of both families. */
  networks: string[];
  /** This node's subnets, canonical CIDRs, IPv4 first. */
  subnets: string[];
  /** Bytes. */
  mtu: number;
  /** The daemon masquerades, so the plugin must not. */
  ipMasq: boolean;
}

const KNOWN = [
  'FLANNEL_NETWORK',
  'FLANNEL_SUBNET',
  'FLANNEL_IPV6_NETWORK',
  'FLANNEL_IPV6_SUBNET',
  'FLANNEL_MTU',
  'FLANNEL_IPMASQ',
];

function canonical(text: string, where: string): string {
  const network = readNetwork(text, where);
  return `${writeAddress(network.v6, network.base)}/${network.length}`;
}

/**
 * Reads the text of a subnet.env.
 * @param file its name, for messages
 * @throws CniError 7 naming every missing key, or the key whose value is wrong
 */
export function parseSubnetEnv(text: string, file: string): SubnetEnv {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [key = '', ...rest] = line.trim().split('=');
    if (KNOWN.includes(key)) values.set(key, rest.join('=').trim());
  }
  const present = (key: string) => (values.get(key) ?? '') !== '';
  const missing = [
    ...(present('FLANNEL_NETWORK') || present('FLANNEL_IPV6_NETWORK')
      ? []
      : ['FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK']),
    ...(present('FLANNEL_SUBNET') || present('FLANNEL_IPV6_SUBNET')
      ? []
      : ['FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET']),
    ...(present('FLANNEL_MTU') ? [] : ['FLANNEL_MTU']),
    ...(present('FLANNEL_IPMASQ') ? [] : ['FLANNEL_IPMASQ']),
  ];
  if (missing.length > 0) refuse(file, `is missing ${missing.join(', ')}`);
  const list = (key: string) =>
    (values.get(key) ?? '')
      .split(',')
      .filter(part => part.trim() !== '')
      .map(part => canonical(part.trim(), `${file}: ${key}`));
  const mtu = Number(values.get('FLANNEL_MTU'));
  if (!Number.isInteger(mtu) || mtu < 0 || mtu > 65535)
    refuse(`${file}: FLANNEL_MTU`, `"${values.get('FLANNEL_MTU')}" is not 0..65535`);
  const masquerades = values.get('FLANNEL_IPMASQ') ?? '';
  if (masquerades !== 'true' && masquerades !== 'false') {
    refuse(`${file}: FLANNEL_IPMASQ`, `"${masquerades}" is not true or false`);
  }
  return {
    networks: [...new Set([...list('FLANNEL_NETWORK'), ...list('FLANNEL_IPV6_NETWORK')])],
    subnets: [...list('FLANNEL_SUBNET'), ...list('FLANNEL_IPV6_SUBNET')],
    mtu,
    ipMasq: masquerades === 'true',
  };
}

/** @throws CniError 11 while the file is not there: the daemon that writes it is still starting; 7 */
export function readSubnetEnv(file: string): SubnetEnv {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CniError(
      CODE.TRY_AGAIN_LATER,
      `subnetFile: ${messageOf(error)}`,
      'the node agent (or flanneld) writes it once it has a subnet; is it running?',
    );
  }
  return parseSubnetEnv(text, file);
}
