import { canonicalNetwork, covers } from '../../ip/prefix.ts';
import { type InterfaceAddress, listAddresses } from '../../net/rtnetlink/addresses.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import { SCOPE_UNIVERSE } from '../../net/rtnetlink/routes.ts';
import { withSocket } from '../../net/rtnetlink/socket.ts';
import { type FamilyRules, POD_LINKS, type RuleSet } from './model.ts';
import { DEFAULT_BRIDGE } from './pod-samples.ts';

/**
 * The rules with the present interfaces that lead to pods: those with an address of the node's pod subnets (the pods'
 * bridge, the overlay's device). Links to single pods are matched by name. A pod network may also contain the network
 * between the nodes, for instance 192.168.0.0/16; that network is added.
 * @throws NetError
 */
export function withPodInterfaces(rules: RuleSet, netns: string): RuleSet {
  const { guard, families } = rules;
  if (!guard) return rules;
  const { names, nodeNetworks, sources } = withSocket(netns, socket => {
    const addresses = listAddresses(socket);
    const links = listLinks(socket);
    const isPods = ({ family, address }: InterfaceAddress) =>
      families.some(one => one.family === family && covers(one.pods, address));
    const toPods = new Set(addresses.filter(isPods).map(({ link }) => link));
    const underlay = links.find(({ name }) => name === guard.underlay)?.index;
    const inCluster = ({ family, address }: InterfaceAddress) =>
      families.some(one => one.family === family && covers(one.cluster, address));
    const networks = addresses
      .filter(one => one.link === underlay && inCluster(one))
      .map(({ family, address, prefixLength }) => ({
        family,
        cidr: canonicalNetwork(`${address}/${prefixLength}`),
      }));
    return {
      sources: addresses.filter(({ scope, deprecated }) => scope === SCOPE_UNIVERSE && !deprecated),
      names: links.filter(({ index }) => toPods.has(index)).map(({ name }) => name),
      nodeNetworks: networks.filter(
        ({ cidr }, index) => networks.findIndex(one => one.cidr === cidr) === index,
      ),
    };
  });
  const podInterfaces = [...new Set([DEFAULT_BRIDGE, ...guard.podInterfaces, ...names])]
    // A name that ends with + or * would match others.
    .filter(name => name !== guard.underlay && name !== 'lo' && /^[\w.:@-]+$/.test(name))
    .filter(name => !name.startsWith(POD_LINKS))
    .sort();
  return {
    ...rules,
    families: families.map(one => ({ ...one, hostSources: hostSources(one, sources) })),
    guard: { ...guard, podInterfaces, nodeNetworks },
  };
}

/** Addresses of this node that other nodes do not know. */
function hostSources(
  { family, cluster, published }: FamilyRules,
  addresses: readonly InterfaceAddress[],
): string[] {
  const sources = addresses
    .filter(one => one.family === family && one.address !== published && !covers(cluster, one.address))
    .map(({ address }) => address);
  return [...new Set(sources)].sort();
}
