import { describeError } from '../../../base/errors.ts';
import { forgetUdpFlows } from '../../../net/conntrack.ts';
import { hasNftTable } from '../../../net/nft/presence.ts';
import { getLink } from '../../../net/rtnetlink/links.ts';
import { routeTo } from '../../../net/rtnetlink/routes.ts';
import { wishSetting } from '../../../net/sysctl.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { failCheck } from '../../link/checks.ts';
import { runAll, withNode } from '../../link/netlink-pair.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import type { Result } from '../../result/types.ts';
import { TABLE } from '../../rules/nft-elements.ts';
import {
  countReferenceRules,
  REFERENCE_HOST_PORTS,
  removeReferenceRules,
} from '../../rules/reference-nft.ts';
import { type Call, commands, type Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { ALL_VERSIONS } from '../../skel/version.ts';
import { mappingsOf, type PortmapConfig, podAddresses, readConfig } from './config.ts';
import {
  clearPortsIptables,
  collectPortsIptables,
  forwardIptables,
  isForwardedIptables,
  unforwardIptables,
} from './iptables.ts';
import { displaceNft, forwardNft, isForwardedNft, refuseTakenNft, unforwardNft } from './nft.ts';

/*
 * The configured back end decides only where ADD puts its rules. A pod may have been wired with another configuration or by
 * the reference plugin, so DEL, GC and CHECK look at ours in nftables, at both variants of iptables, and at the reference's
 * rules in nftables. What is not there costs a question to the kernel.
 */

type Pod = ReturnType<typeof podAddresses>;

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const previous = requirePrevResult(call);
  const pod = podAddresses(previous);
  if (hasOwnTable(call)) await displaceNft(call.host.netns, pod, callTag(call));
  if (config.mappings.length === 0) return previous;
  await clearPortsIptables(call, config, pod);
  await Undo.guard(call.host.log, async undo => {
    await forward(call, config, pod, undo);
    if (pod.v4 && config.snat) await routeLocalhost(call, pod.v4);
  });
  forgetFlows(call, config);
  return previous;
}

/**
 * UDP flows keep the way that they had before the mapping began or ceased. That they could not be forgotten is no
 * reason to fail: they end by themselves when they rest.
 */
function forgetFlows(call: Call, { mappings }: PortmapConfig): void {
  try {
    for (const family of [4, 6] as const) {
      const own = mappingsOf(mappings, family === 6).filter(one => one.protocol === 'udp');
      forgetUdpFlows(call.host.netns, family, new Set(own.map(one => one.hostPort)));
    }
  } catch (error) {
    call.host.log(`portmap: ${describeError(error)}`);
  }
}

async function forward(call: Call, config: PortmapConfig, pod: Pod, undo: Undo): Promise<void> {
  const { netns } = call.host;
  if (config.backend === 'iptables') {
    if (hasOwnTable(call)) await refuseTakenNft(netns, config);
    // Pushed first: one family is changed after the other.
    undo.push('take the host ports away', () => unforwardIptables(call));
    await forwardIptables(call, config, pod);
    return;
  }
  await forwardNft(netns, config, pod, callTag(call), call.containerId.slice(0, 64));
  // Only now: what a refused ADD did not make belongs to somebody else or to nobody.
  undo.push('take the host ports away', () => unforwardNft(netns, one => one === callTag(call)));
}

/** Lets 127.0.0.1 reach the pod by its host ports: the kernel drops such a route otherwise. */
async function routeLocalhost(call: Call, cidr: string): Promise<void> {
  const name = await withNode(call, node => {
    const route = routeTo(node, cidr.split('/')[0]!);
    return route.link === undefined ? undefined : getLink(node, route.link).name;
  });
  if (!name) return;
  const setting = `net/ipv4/conf/${name}/route_localnet`;
  wishSetting(call.host.netns, setting, '1', 'host ports do not answer on 127.0.0.1');
}

async function del(call: Call): Promise<void> {
  // By name alone: a runtime may leave out portMappings and prevResult on DEL.
  const config = readConfig(call);
  const { netns } = call.host;
  await runAll([
    () => hasOwnTable(call) && unforwardNft(netns, tag => tag === callTag(call)),
    () => unforwardIptables(call),
    () => removeReferenceRules(netns, REFERENCE_HOST_PORTS, comment => comment === call.containerId),
  ]);
  forgetFlows(call, config);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  const pod = podAddresses(requirePrevResult(call));
  if (config.mappings.length === 0) return;
  const { netns } = call.host;
  const isThere =
    (hasOwnTable(call) && (await isForwardedNft(netns, config, pod, callTag(call)))) ||
    (await isForwardedIptables(call, config, pod)) ||
    (await isForwardedByReference(call, config, pod));
  if (!isThere)
    failCheck(`host ports of container ${call.containerId} are missing in nftables and in iptables`);
}

/** By the reference plugin's rules in nftables: one per mapping, and more for what is masqueraded. */
async function isForwardedByReference(call: Call, { mappings }: PortmapConfig, pod: Pod): Promise<boolean> {
  const wanted =
    (pod.v4 ? mappingsOf(mappings, false).length : 0) + (pod.v6 ? mappingsOf(mappings, true).length : 0);
  const chains = REFERENCE_HOST_PORTS.filter(one => one.chain !== 'masquerading');
  const isOfContainer = (comment: string) => comment === call.containerId;
  return (await countReferenceRules(call.host.netns, chains, isOfContainer)) >= wanted;
}

const hasOwnTable = (call: Call) => hasNftTable(call.host.netns, 'inet', TABLE);

async function gc(call: Call): Promise<void> {
  readConfig(call);
  const valid = validAttachments(call);
  // The reference's rules in nftables do not name their network, so only a DEL can tell whose they are.
  await runAll([
    () => hasOwnTable(call) && unforwardNft(call.host.netns, staleTags(call.name, valid)),
    () => collectPortsIptables(call, valid),
  ]);
}

async function status(call: Call): Promise<void> {
  readConfig(call);
}

/** Forwards ports of the node to a pod. */
export const portmap: Plugin = {
  name: 'portmap',
  about: 'CNI portmap plugin of Ripstop: forwards ports of the node to a pod',
  versions: ALL_VERSIONS,
  netns: 'entered',
  commands: commands({ add, del, check, gc, status }),
};
