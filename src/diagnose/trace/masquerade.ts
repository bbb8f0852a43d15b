import { MULTICAST, type RuleSet } from '../../agent/rules/model.ts';
import { networkContains } from './node.ts';

/**
 * Whether the rules of `rules/nftables.ts` give a packet another source, and why: the same conditions in the same
 * order. kube-proxy's mark is ignored: only a real packet has one.
 */
export function masqueraded(
  { families, masquerade }: RuleSet,
  source: string,
  destination: string,
): { readonly applies: boolean; readonly why: string } {
  const family = source.includes(':') ? 6 : 4;
  const rules = families.find(one => one.family === family);
  if (!masquerade) return { applies: false, why: 'the agent runs without --ip-masq' };
  if (!rules) return { applies: false, why: `the cluster has no IPv${family}` };
  const [fromCluster, toCluster] = [
    networkContains(rules.cluster, source),
    networkContains(rules.cluster, destination),
  ];
  if (fromCluster && toCluster)
    if (networkContains(rules.pods, source) || networkContains(rules.pods, destination))
      return { applies: false, why: `both ends are in ${rules.cluster}` };
  if (!fromCluster && networkContains(rules.pods, destination))
    return { applies: false, why: 'clients from outside keep their address' };
  if (fromCluster && !networkContains(MULTICAST[family], destination))
    return { applies: true, why: `${destination} is outside of ${rules.cluster}` };
  if (!fromCluster && toCluster) return { applies: true, why: `${source} is outside of ${rules.cluster}` };
  return { applies: false, why: 'no rule matches' };
}
