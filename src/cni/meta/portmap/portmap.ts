import { describeError } from '../../../base/errors.ts';
import { forgetUdpFlows } from '../../../net/conntrack.ts';
import { getLink } from '../../../net/links.ts';
import { routeTo } from '../../../net/routes.ts';
import { wishSetting } from '../../../net/sysctl.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import type { Result } from '../../result/types.ts';
import { type Call, commands, type Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { ALL_VERSIONS } from '../../skel/version.ts';
import { changed } from '../../wiring/expectations.ts';
import { inNode } from '../../wiring/kernel.ts';
import { callTag, staleTags } from '../../wiring/tag.ts';
import { mappingsOf, type PortmapConfig, podAddresses, readConfig } from './config.ts';
import {
  collectPortsIptables,
  countForwardedIptables,
  forwardIptables,
  unforwardIptables,
} from './iptables.ts';
import { countForwardedNft, forwardNft, unforwardNft } from './nft.ts';

type Pod = ReturnType<typeof podAddresses>;

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const previous = requirePrevResult(call);
  if (config.mappings.length === 0) return previous;
  const pod = podAddresses(previous);
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
  const name = await inNode(call, node => {
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
  if (config.backend === 'iptables') await unforwardIptables(call);
  else await unforwardNft(call.host.netns, tag => tag === callTag(call));
  forgetFlows(call, config);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  const pod = podAddresses(requirePrevResult(call));
  if (config.mappings.length === 0) return;
  const expected = {
    v4: pod.v4 ? mappingsOf(config.mappings, false).length : 0,
    v6: pod.v6 ? mappingsOf(config.mappings, true).length : 0,
  };
  const plain =
    (config.conditionsV4.length ? 0 : expected.v4) + (config.conditionsV6.length ? 0 : expected.v6);
  const conditional = expected.v4 + expected.v6 - plain;
  const { netns } = call.host;
  let there: boolean;
  if (config.backend === 'iptables')
    there = (await countForwardedIptables(call)) >= expected.v4 + expected.v6;
  else {
    const found = await countForwardedNft(netns, callTag(call));
    // Marks of conditional mappings are rules of their own, so there may be more than asked for.
    there = found.plain >= plain && found.conditional >= conditional;
  }
  if (!there) changed(`host ports of container ${call.containerId} are missing in ${config.backend}`);
}

async function gc(call: Call): Promise<void> {
  const { backend } = readConfig(call);
  const valid = validAttachments(call);
  if (backend === 'iptables') await collectPortsIptables(call, valid);
  else await unforwardNft(call.host.netns, staleTags(call.name, valid));
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
