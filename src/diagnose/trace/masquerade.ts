import { MULTICAST, type RuleSet, translatedSources } from '../../agent/rules/model.ts';
import { networkContains } from './node.ts';

/**
 * Whether the rules of `rules/nftables.ts` give a packet another source, and why: the same conditions in the same
 * order. kube-proxy's mark is ignored: only a real packet has one.
 * @param outside name of the interface that the packet leaves by
 */
export function masqueraded(
  rules: RuleSet,
  source: string,
  destination: string,
  outside?: string,
): { readonly applies: boolean; readonly why: string } {
  const family = source.includes(':') ? 6 : 4;
  const own = rules.families.find(one => one.family === family);
  if (own && outside === own.outside && translatedSources(rules, own).includes(source))
    return { applies: true, why: `other nodes do not know ${source}` };
  if (!rules.masquerade) return { applies: false, why: 'the agent runs without --ip-masq' };
  if (!own) return { applies: false, why: `the cluster has no IPv${family}` };
  const [fromCluster, toCluster] = [
    networkContains(own.cluster, source),
    networkContains(own.cluster, destination),
  ];
  if (fromCluster && toCluster)
    if (networkContains(own.pods, source) || networkContains(own.pods, destination))
      return { applies: false, why: `both ends are in ${own.cluster}` };
  if (!fromCluster && networkContains(own.pods, destination))
    return { applies: false, why: 'clients from outside keep their address' };
  if (fromCluster && !networkContains(MULTICAST[family], destination))
    return { applies: true, why: `${destination} is outside of ${own.cluster}` };
  if (!fromCluster && toCluster) return { applies: true, why: `${source} is outside of ${own.cluster}` };
  return { applies: false, why: 'no rule matches' };
}
