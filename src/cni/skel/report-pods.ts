import { formatAddress, parseAddress } from '../../ip/address.ts';
import { isLinkName } from '../../net/rtnetlink/links.ts';
import { validAttachments } from '../config/network.ts';
import type { Result } from '../result/types.ts';
import type { Call, PodRecorder } from './plugin.ts';

/** Interfaces of a result that are kept: a bridge and a veth are two. */
const LINKS_MAX = 8;

/** Reports what a call that has succeeded says about pods and their addresses. */
export function reportPods(pods: PodRecorder, call: Call, result: Result | undefined): void {
  const { command, name: network, containerId, ifname } = call;
  const at = { network, containerId, ifname };
  if (command === 'ADD' && result) {
    const addresses = addressesOf(result);
    // The loopback plugin of every container has the same ones.
    const { netns, args } = call;
    if (addresses.length > 0)
      pods.attached({ ...at, netns, hostLinks: hostLinksOf(result) }, addresses, podOf(args));
  }
  if (command === 'DEL') pods.detached(at);
  if (command === 'GC')
    pods.collected(
      network,
      validAttachments(call).map(one => ({ containerId: one.containerID, ifname: one.ifname })),
    );
}

function addressesOf({ ips = [] }: Result): string[] {
  return ips
    .flatMap(({ address }) => parseAddress(address.replace(/\/.*/, '')) ?? [])
    .map(formatAddress)
    .filter(address => !address.startsWith('127.') && address !== '::1');
}

/** Names of the interfaces of the node: those without a namespace. A delegate may be another program. */
function hostLinksOf({ interfaces = [] }: Result): string[] {
  return interfaces
    .flatMap(({ name, sandbox }) => (!sandbox && isLinkName(name) ? [name] : []))
    .slice(0, LINKS_MAX);
}

/** The names in CNI_ARGS, as every runtime of Kubernetes sends them; undefined without them. */
function podOf(args: string): { namespace: string; name: string } | undefined {
  const pairs = new Map(args.split(';').map(pair => pair.split('=', 2) as [string, string]));
  const namespace = pairs.get('K8S_POD_NAMESPACE');
  const name = pairs.get('K8S_POD_NAME');
  return namespace && name ? { namespace, name } : undefined;
}
