import { messageOf } from '../../../base/errors.ts';
import { fileSystemAnswers, readRegularFile } from '../../../base/files/regular-file.ts';
import { formatPrefix } from '../../../ip/prefix.ts';
import { parseSubnetEnv as readText } from '../../../ip/subnet-env.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';

/** What flanneld (or the Ripstop agent) has written about this node. */
export interface NodeSubnets {
  /** Networks of the whole cluster, canonical CIDRs of both families. */
  networks: string[];
  /** This node's subnets, canonical CIDRs, IPv4 first. */
  subnets: string[];
  /** Bytes. */
  mtu: number;
  /** The daemon masquerades, so the plugin must not. */
  ipMasq: boolean;
}

/**
 * Reads the text of a subnet.env.
 * @param file its name, for messages
 * @throws CniError 7 naming every value that is missing, or the first one that is wrong
 */
export function parseSubnetEnv(text: string, file: string): NodeSubnets {
  const { networks, subnets, mtu, ipMasq, faults } = readText(text);
  const [fault] = faults;
  if (fault !== undefined) throw new CniError(CODE.INVALID_CONFIG, `${file}: ${fault}`);
  const missing = [
    ...(networks.length > 0 ? [] : ['FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK']),
    ...(subnets.length > 0 ? [] : ['FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET']),
    ...(mtu === undefined ? ['FLANNEL_MTU'] : []),
    ...(ipMasq === undefined ? ['FLANNEL_IPMASQ'] : []),
  ];
  if (mtu === undefined || ipMasq === undefined || missing.length > 0)
    refuse(file, `is missing ${missing.join(', ')}`);
  return {
    networks: [...new Set(networks.map(formatPrefix))],
    subnets: subnets.map(formatPrefix),
    mtu,
    ipMasq,
  };
}

/** @throws CniError 11 while the file is not there: the daemon that writes it is still starting; 7 */
export async function readSubnetEnv(file: string): Promise<NodeSubnets> {
  let text: string;
  try {
    await fileSystemAnswers(file);
    text = readRegularFile(file);
  } catch (error) {
    throw new CniError(
      CODE.TRY_AGAIN_LATER,
      `subnetFile: ${messageOf(error)}`,
      'the node agent (or flanneld) writes it once it has a subnet; is it running?',
    );
  }
  return parseSubnetEnv(text, file);
}
