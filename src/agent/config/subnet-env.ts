import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../base/atomic-file.ts';
import { hasCode } from '../../base/errors.ts';
import { formatAddress } from '../../ip/address.ts';
import { formatPrefix, nth, type Prefix } from '../../ip/prefix.ts';
import { parseSubnetEnv as readText } from '../../ip/subnet-env.ts';

/** What `subnet.env` says: the agent writes it for the CNI plugin, and reads its former subnet from it. */
export interface SubnetEnv {
  readonly network: Prefix | undefined;
  /** The node's subnet (network address). */
  readonly subnet: Prefix | undefined;
  readonly network6: Prefix | undefined;
  readonly subnet6: Prefix | undefined;
  /** MTU of pod interfaces in bytes; undefined when an old file has none. */
  readonly mtu: number | undefined;
  readonly ipMasq: boolean;
}

/** The text as flannel writes it: a subnet stands as its first host address with its length. */
export function formatSubnetEnv(env: SubnetEnv): string {
  const lines: string[] = [];
  if (env.network && env.subnet)
    lines.push(`FLANNEL_NETWORK=${formatPrefix(env.network)}`, `FLANNEL_SUBNET=${firstHost(env.subnet)}`);
  if (env.network6 && env.subnet6)
    lines.push(
      `FLANNEL_IPV6_NETWORK=${formatPrefix(env.network6)}`,
      `FLANNEL_IPV6_SUBNET=${firstHost(env.subnet6)}`,
    );
  lines.push(`FLANNEL_MTU=${env.mtu ?? 0}`, `FLANNEL_IPMASQ=${env.ipMasq}`);
  return `${lines.join('\n')}\n`;
}

/** Reads the text; a value that is not a subnet of its family counts as absent, as in flannel. */
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

/** The file of the previous run, or undefined when there is none. */
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

function firstHost(subnet: Prefix): string {
  return `${formatAddress(nth(subnet, 1n))}/${subnet.length}`;
}
