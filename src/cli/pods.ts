import { isIP } from 'node:net';
import { getJson } from '../api/client.ts';
import { addressesOf, filterByPods, mayNamePods, noPod } from '../capture/filter/pod-filter.ts';
import type { PodAddress } from '../capture/live/pods.ts';

/** The filter with addresses in place of the names of pods of the agent's node. @throws RipstopError */
export async function resolvePods(socket: string, filter: string): Promise<string> {
  return mayNamePods(filter) ? filterByPods(filter, await getJson(socket, '/pods')) : filter;
}

/**
 * The pods of the node of an agent.
 * @param isNeeded false: they are only shown, and an agent that does not answer, for example of an older version, has none
 * @throws RipstopError
 */
export async function podsAt(socket: string, isNeeded: boolean): Promise<readonly PodAddress[]> {
  const pods = getJson(socket, '/pods');
  return isNeeded ? pods : pods.catch(() => []);
}

interface Ends {
  readonly src: string;
  readonly dst: string;
}

/** True when an end of the packet is given as `namespace/name`. */
export const namesPods = ({ src, dst }: Ends): boolean => [src, dst].some(end => end.includes('/'));

/**
 * The two ends of a packet, with addresses in place of `namespace/name`: of the same family if the pods have such ones,
 * otherwise of IPv4.
 * @throws RipstopError ECONFIG for a pod that is not there
 */
export function resolveEnds<T extends Ends>(options: T, pods: readonly PodAddress[]): T {
  const candidates = (end: string) => {
    if (!end.includes('/')) return [end];
    const addresses = addressesOf(end, pods);
    if (addresses.length === 0) throw noPod('ECONFIG', end, pods);
    return addresses.sort((one, other) => isIP(one) - isIP(other));
  };
  const sources = candidates(options.src);
  const destinations = candidates(options.dst);
  const pairs = sources.flatMap(src => destinations.map(dst => ({ src, dst })));
  const pair = pairs.find(({ src, dst }) => isIP(src) === isIP(dst)) ?? pairs[0];
  return { ...options, ...pair };
}
