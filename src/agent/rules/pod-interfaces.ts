import { listAddresses } from '../../net/addresses.ts';
import { listLinks } from '../../net/links.ts';
import { withSocket } from '../../net/socket.ts';
import { covers } from '../kernel/layout.ts';
import { POD_LINKS, type RuleSet } from './model.ts';

/** Bridge of flannel's CNI configuration: named before the first pod makes it. */
const DEFAULT_BRIDGE = 'cni0';

/**
 * The rules with the interfaces that lead to pods as they are now: those that have an address of the node's pod subnets
 * (the pods' bridge, the overlay's device). Links to single pods are matched by their name.
 * @throws NetError
 */
export function withPodInterfaces(rules: RuleSet, netns: string): RuleSet {
  const { guard, families } = rules;
  if (!guard) return rules;
  const names = withSocket(netns, socket => {
    const own = listAddresses(socket).filter(({ family, address }) =>
      families.some(one => one.family === family && covers(one.pods, address)),
    );
    const links = new Set(own.map(({ link }) => link));
    return listLinks(socket)
      .filter(({ index }) => links.has(index))
      .map(({ name }) => name);
  });
  const podInterfaces = [...new Set([DEFAULT_BRIDGE, ...names])]
    // A name that ends with + or * would match others.
    .filter(name => name !== guard.underlay && name !== 'lo' && /^[\w.:@-]+$/.test(name))
    .filter(name => !name.startsWith(POD_LINKS))
    .sort();
  return { ...rules, guard: { ...guard, podInterfaces } };
}
