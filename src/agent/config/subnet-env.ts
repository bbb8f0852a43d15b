import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../base/atomic-file.ts';
import { hasCode } from '../../base/errors.ts';
import { parseSubnetEnv as readText } from '../../ip/subnet-env.ts';
import { type Cidr, formatAddress, formatCidr } from '../lease/cidr.ts';

/** What `subnet.env` tells the CNI plugin, and what a former life of the agent told us through it. */
export interface SubnetEnv {
  readonly network: Cidr | undefined;
  /** The node's subnet (network address). */
  readonly subnet: Cidr | undefined;
  readonly network6: Cidr | undefined;
  readonly subnet6: Cidr | undefined;
  /** MTU of pod interfaces in bytes; undefined when an old file has none. */
  readonly mtu: number | undefined;
  readonly ipMasq: boolean;
}

/** The text as flannel writes it: a subnet stands as its first host address with its length. */
export function formatSubnetEnv(env: SubnetEnv): string {
  const lines: string[] = [];
  if (env.network && env.subnet)
    lines.push(`FLANNEL_NETWORK=${formatCidr(env.network)}`, `FLANNEL_SUBNET=${firstHost(env.subnet)}`);
  if (env.network6 && env.subnet6)
    lines.push(
      `FLANNEL_IPV6_NETWORK=${formatCidr(env.network6)}`,
      `FLANNEL_IPV6_SUBNET=${firstHost(env.subnet6)}`,
    );
  lines.push(`FLANNEL_MTU=${env.mtu ?? 0}`, `FLANNEL_IPMASQ=${env.ipMasq}`);
  return `${lines.join('\n')}\n`;
}

/** Reads the text back; a value that is no subnet of its family counts as absent, as in flannel. */
export function parseSubnetEnv(text: string): SubnetEnv {
  const { networks, subnets, mtu, ipMasq } = readText(text);
  return {
    network: networks.find(one => one.family === 4),
    subnet: subnets.find(one => one.family === 4),
    network6: networks.find(one => one.family === 6),
    subnet6: subnets.find(one => one.family === 6),
    mtu: mtu || undefined,
    ipMasq: ipMasq ?? false,
  };
}

/** The file of a former life, or undefined when there is none. */
export async function readSubnetEnv(path: string): Promise<SubnetEnv | undefined> {
  try {
    return parseSubnetEnv(await readFile(path, 'utf8'));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Writes the file atomically, mode 0644 as flannel does. */
export async function writeSubnetEnv(path: string, env: SubnetEnv): Promise<void> {
  await writeFileAtomic(path, formatSubnetEnv(env), 0o644);
}

function firstHost(subnet: Cidr): string {
  return `${formatAddress(subnet.family, subnet.value + 1n)}/${subnet.length}`;
}
