import { formatPrefix } from '../../ip/prefix.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import { readSubnetEnv } from '../config/subnet-env.ts';
import type { AgentOptions } from '../inputs/options.ts';
import type { PlanInputs } from '../inputs/plan.ts';
import { addBlackholes, removeBlackholes } from './blackhole.ts';
import { keepPodForwarding } from './pod-forwarding.ts';

/*
 * Kernel state of the node that belongs to no overlay: blackhole routes, and forwarding of the interfaces of pods.
 */

/** A change that was made: its kind, as in the metric of repairs, and the change in words. */
export interface NodeChange {
  readonly kind: string;
  readonly text: string;
}

/** The pod networks that `subnet.env` names and the configuration does not: those of an earlier configuration. */
export async function formerNetworks(subnetFile: string, { v4, v6 }: NetworkConfig): Promise<string[]> {
  const env = await readSubnetEnv(subnetFile).catch(() => undefined);
  const present = [v4, v6].map(network => network && formatPrefix(network));
  return [env?.network, env?.network6]
    .map(network => network && formatPrefix(network))
    .filter(network => network !== undefined)
    .filter(network => !present.includes(network));
}

/**
 * Keeps the blackhole routes of this node's subnets, and removes those of former subnets and of flannel. Those only exist
 * when the inputs are new, so that later comparisons cost the same whatever the number of routes.
 * @param isEnd `ripstop run` ends: none stays
 * @throws NetError
 */
export async function keepBlackholeRoutes(
  socket: NetlinkSocket,
  { config, lease }: PlanInputs,
  { blackhole, keepState, subnetFile }: AgentOptions,
  { isFirst, isEnd }: { isFirst: boolean; isEnd: boolean },
): Promise<NodeChange[]> {
  const wanted = blackhole && !isEnd ? lease : { v4: undefined, v6: undefined };
  const networks = [config.v4, config.v6].filter(network => network !== undefined).map(formatPrefix);
  // Read before `subnet.env` is written again.
  const former = isFirst || isEnd ? await formerNetworks(subnetFile, config) : undefined;
  const removed = former
    ? removeBlackholes(socket, wanted, {
        networks,
        formerNetworks: former,
        fromFlannel: keepState && isFirst,
      })
    : [];
  return [...removed, ...addBlackholes(socket, wanted)].map(({ added, destination }) => ({
    kind: added ? 'set-route' : 'delete-route',
    text: `${added ? '+' : '-'} route ${destination} blackhole`,
  }));
}

/** Switches forwarding on for the interfaces of pods. @throws NetError */
export function keepForwarding(socket: NetlinkSocket, { lease }: PlanInputs): NodeChange[] {
  return keepPodForwarding(socket, lease.v4).map(name => ({
    kind: 'set-sysctl',
    text: `~ setting ${name} = 1`,
  }));
}
