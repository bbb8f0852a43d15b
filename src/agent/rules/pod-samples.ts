import { requireAddress } from '../../ip/address.ts';
import { baseAddress, contains, lastOf, requirePrefix } from '../../ip/prefix.ts';
import { dropsOfChain } from '../../net/filter/evaluate.ts';
import type { FilterChain, FilterPacket, FilterTable } from '../../net/filter/model.ts';
import type { FamilyRules, RuleSet } from './model.ts';

/** Bridge of flannel's CNI configuration, also before the first pod creates it. */
export const DEFAULT_BRIDGE = 'cni0';

/**
 * Packets between the pods of this node and those of other nodes, in both directions. Their addresses are in the ranges of
 * pods and belong to no pod, so that a rule about single pods (a network policy) does not match them.
 */
export function podSamples({ families, guard }: RuleSet): FilterPacket[] {
  const others = [DEFAULT_BRIDGE, ...families.map(({ outside }) => outside)];
  const from = guard?.podInterfaces.find(name => !others.includes(name)) ?? DEFAULT_BRIDGE;
  return families.flatMap(family => {
    const to = family.outside ?? '';
    const [here, there] = unusedAddresses(family);
    const common = { family: family.family, protocol: 'tcp' } as const;
    return [
      { ...common, source: here, destination: there, from, to },
      { ...common, source: there, destination: here, from: to, to: from },
    ];
  });
}

/** The last address of the node's subnet, and one of the cluster outside of it. */
function unusedAddresses({ cluster, pods }: FamilyRules) {
  const [network, own] = [requirePrefix(cluster), requirePrefix(pods)];
  const last = lastOf(network);
  const there = contains(own, last) ? requireAddress(baseAddress(network)) : last;
  return [lastOf(own), there] as const;
}

/** True when a rule of the chain, or its policy, drops packets of pods, unless a rule before it accepts them. */
export function dropsPods(table: FilterTable, chain: FilterChain, samples: readonly FilterPacket[]): boolean {
  return samples
    .filter(({ family }) => table.family === 'both' || table.family === family)
    .some(packet => dropsOfChain(table, chain, packet).some(({ isMatch }) => isMatch));
}
