import type { Agent } from '../../agent/agent.ts';
import type { Network } from '../../agent/overlay/network.ts';
import { requireAddress } from '../../ip/address.ts';
import { contains, formatPrefix, type Prefix } from '../../ip/prefix.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import { withSocket } from '../../net/rtnetlink/socket.ts';
import { type Finding, fault, warning } from './finding.ts';

/** Bridges of pods, as flannel's and Ripstop's CNI configuration and kubenet name them. */
const POD_BRIDGE = /^(cni|cbr)\d/;

/** A bridge of pods with an address of the pod network outside the node's subnet. */
interface StaleBridge {
  readonly name: string;
  /** `address/length`. */
  readonly prefix: string;
  readonly address: string;
}

export function staleBridges(netns: string, { inputs: { config, lease } }: Network): StaleBridge[] {
  const isInside = (network: Prefix | undefined, address: string): boolean =>
    network !== undefined && contains(network, requireAddress(address));
  return withSocket(netns, socket => {
    const bridges = listLinks(socket).filter(({ name, kind }) => kind === 'bridge' && POD_BRIDGE.test(name));
    return bridges.flatMap(({ index, name }) =>
      listAddresses(socket, { link: index })
        .filter(({ family, address }) => {
          const [network, own] = family === 4 ? [config.v4, lease.v4] : [config.v6, lease.v6];
          return isInside(network, address) && !isInside(own, address);
        })
        .map(({ prefix, address }) => ({ name, prefix, address })),
    );
  });
}

/** Bridges that still have an address of a subnet that the node had before. */
export function checkBridges({ network, options }: Agent): Finding[] {
  if (!network) return [];
  const { v4, v6 } = network.inputs.lease;
  return staleBridges(options.netns, network).map(({ name, prefix, address }) => {
    const own = address.includes(':') ? v6 : v4;
    const owner = network.overlays
      .flatMap(({ peers }) => peers)
      .find(({ subnets }) => subnets.some(subnet => contains(subnet, requireAddress(address))));
    const make = owner ? fault : warning;
    const whose = owner ? `: that subnet belongs to ${owner.node?.split('/')[0] ?? owner.address} now` : '';
    return make(
      'stale-bridge',
      `${name} has the address ${prefix}, which is outside this node's subnet${own ? ` ${formatPrefix(own)}` : ''}${whose}`,
      `delete the pods of this node that have addresses of ${prefix}, then: ip link del ${name} (the next pod makes it again)`,
    );
  });
}
