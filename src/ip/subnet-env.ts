import type { Family } from './address.ts';
import { networkOf, type Prefix, parsePrefix } from './prefix.ts';

/*
 * The file `subnet.env`, which flanneld and the Ripstop agent write for the CNI plugins of their node: lines of the form
 * KEY=value, as in a shell.
 */

/** What a `subnet.env` says. Networks and subnets have no host bits. */
interface SubnetEnvContent {
  /** Networks of the whole cluster, IPv4 first. */
  networks: Prefix[];
  /** Subnets of this node, IPv4 first. */
  subnets: Prefix[];
  /** MTU of pod interfaces, bytes; undefined where the file has none. */
  mtu: number | undefined;
  /** The daemon masquerades, so the plugin must not; undefined where the file does not say. */
  ipMasq: boolean | undefined;
  /** Values that cannot be read and count as absent: `FLANNEL_MTU: "x" is not 0..65535`. */
  faults: string[];
}

const MTU_MAX = 65535;

export function parseSubnetEnv(text: string): SubnetEnvContent {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^\s*(FLANNEL_\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) values.set(key, value.replace(/^(["'])(.*)\1$/, '$2'));
  }
  const faults: string[] = [];
  const note = (key: string, value: string, wanted: string) =>
    void faults.push(`${key}: ${JSON.stringify(value)} is not ${wanted}`);
  const prefixes = (key: string, family: Family) =>
    (values.get(key) ?? '').split(',').flatMap(part => {
      const value = part.trim();
      if (value === '') return [];
      const prefix = value.includes('/') ? parsePrefix(value) : undefined;
      if (prefix?.family === family) return [networkOf(prefix)];
      note(key, value, `an IPv${family} subnet`);
      return [];
    });
  const networks = [...prefixes('FLANNEL_NETWORK', 4), ...prefixes('FLANNEL_IPV6_NETWORK', 6)];
  const subnets = [...prefixes('FLANNEL_SUBNET', 4), ...prefixes('FLANNEL_IPV6_SUBNET', 6)];
  const size = values.get('FLANNEL_MTU') || undefined;
  const mtu = size !== undefined && /^\d+$/.test(size) && Number(size) <= MTU_MAX ? Number(size) : undefined;
  if (size !== undefined && mtu === undefined) note('FLANNEL_MTU', size, `0..${MTU_MAX}`);
  const masquerades = values.get('FLANNEL_IPMASQ') || undefined;
  const ipMasq = masquerades === 'true' ? true : masquerades === 'false' ? false : undefined;
  if (masquerades !== undefined && ipMasq === undefined) note('FLANNEL_IPMASQ', masquerades, 'true or false');
  return { networks, subnets, mtu, ipMasq, faults };
}
