import { RipstopError } from '../../base/errors.ts';
import { type PodAddress, podText } from '../live/pods.ts';

/**
 * A pod in a filter, with the words of tcpdump's language that may stand before an address. A token without a letter, and what
 * follows `net`, is a prefix as 10/8.
 */
const POD =
  /(?<![\w./:\]-])(?<!\bnet\s+)((?:(?:src|dst)\s+)?(?:host\s+)?)([a-z0-9][-a-z0-9]*\/[a-z0-9][-a-z0-9.]*)(?![\w/:-])/g;

/** True if a filter may name pods, so that `filterByPods` needs them. */
export function mayNamePods(filter: string): boolean {
  return [...filter.matchAll(POD)].some(([, , name]) => /[a-z]/.test(name ?? ''));
}

/**
 * A filter with the addresses of pods in place of `namespace/name`, wherever an address can stand: `host default/web`,
 * `src default/web`. A pod with several addresses is any of them.
 * @param pods pods that can be named
 * @throws RipstopError EFILTER for a pod that is not there
 */
export function filterByPods(filter: string, pods: readonly PodAddress[]): string {
  return filter.replaceAll(POD, (whole, before: string, name: string) => {
    if (!/[a-z]/.test(name)) return whole;
    const addresses = addressesOf(name, pods);
    if (addresses.length === 0) throw noPod('EFILTER', name, pods);
    const parts = addresses.map(address => `${before || 'host '}${address}`);
    return parts.length === 1 ? parts.join('') : `(${parts.join(' or ')})`;
  });
}

/** The present addresses of `namespace/name`, none if it is not there. */
export function addressesOf(name: string, pods: readonly PodAddress[]): string[] {
  return pods.filter(pod => pod.until === null && podText(pod) === name).map(({ address }) => address);
}

/** Names that an error lists at most. */
const NEAR_MAX = 5;

/** The error for a pod that is not there: it says when it went, or which names are similar. */
export function noPod(code: 'EFILTER' | 'ECONFIG', name: string, pods: readonly PodAddress[]): RipstopError {
  const former = pods.findLast(pod => podText(pod) === name);
  if (former) {
    const { address, until } = former;
    const now = pods.find(pod => pod.until === null && pod.address === address);
    return new RipstopError(
      code,
      `pod "${name}" went away at ${until}`,
      now
        ? `its address ${address} belongs to ${podText(now)} since ${now.since}`
        : `no pod has its address ${address} now`,
    );
  }
  const near = nearest(name, [...new Set(pods.filter(pod => pod.until === null).map(podText))]);
  const known = near.length > 0 ? `pods with similar names: ${near.join(', ')}; ` : '';
  return new RipstopError(
    code,
    `no pod "${name}" on this node`,
    `${known}ripstop pods lists those that the CNI plugins of the agent connected; a pod in the network of its node has no address of its own`,
  );
}

/** The names with the longest common begin of the pod's name, in the same namespace first. */
function nearest(wanted: string, names: readonly string[]): string[] {
  const [namespace = '', name = ''] = wanted.split('/');
  const rank = (one: string) => {
    const [itsNamespace = '', itsName = ''] = one.split('/');
    let common = 0;
    while (common < name.length && itsName[common] === name[common]) common++;
    return common * 2 + Number(itsNamespace === namespace);
  };
  return names
    .map(one => ({ one, rank: rank(one) }))
    .sort((a, b) => b.rank - a.rank)
    .slice(0, NEAR_MAX)
    .map(({ one }) => one);
}
