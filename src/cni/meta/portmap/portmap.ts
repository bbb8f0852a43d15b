import { describeError } from '../../../base/errors.ts';
import { deleteUdpConntrack } from '../../../net/conntrack.ts';
import { isNetError } from '../../../net/error.ts';
import { getLink } from '../../../net/rtnetlink/links.ts';
import { routeTo } from '../../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { trySysctl } from '../../../net/sysctl.ts';
import { under } from '../../config/fields.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { failCheck } from '../../link/checks.ts';
import { withNode } from '../../link/netlink-pair.ts';
import type { Result } from '../../result/types.ts';
import { hostPart } from '../../result/types.ts';
import { type ExistingRules, everyBackend } from '../../rules/backend.ts';
import { countRules, type RuleChain, removeRules } from '../../rules/nft-rules.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import {
  describeAll,
  familyPorts,
  type HostPorts,
  hostPortsOf,
  mappingFields,
  mappingsOf,
  portmapFields,
  readConfig,
  readMappings,
} from './config.ts';
import { clearPortsIptables, iptablesHostPorts } from './iptables.ts';
import { displaceNft, nftHostPorts, refuseTakenNft } from './nft.ts';

const REFERENCE_CHAINS: readonly RuleChain[] = (['ip', 'ip6'] as const).flatMap(family =>
  ['hostports', 'hostip_hostports', 'masquerading'].map(chain => ({ family, table: 'cni_hostport', chain })),
);

/** The reference plugin's rules in nftables: one per mapping, and more for what is masqueraded. */
const referenceHostPorts: ExistingRules<HostPorts> = {
  async remove(call) {
    const isOfContainer = (comment: string) => comment === call.containerId;
    await removeRules(call.host.netns, REFERENCE_CHAINS, isOfContainer);
  },

  async check(call, rules) {
    const wanted = familyPorts(rules).flatMap(describeAll);
    const chains = REFERENCE_CHAINS.filter(one => one.chain !== 'masquerading');
    const isOfContainer = (comment: string) => comment === call.containerId;
    const count = countRules(call.host.netns, chains, isOfContainer);
    return count >= wanted.length ? [] : wanted;
  },

  // Their comments do not name a network, so only DEL can identify the owner.
  gc: async () => {},
};

const hostPorts = everyBackend([nftHostPorts, iptablesHostPorts, referenceHostPorts]);

async function add(call: Call): Promise<Result> {
  const previous = requirePrevResult(call);
  const rules = hostPortsOf(readConfig(call), previous, call.ifname);
  await displaceNft(call, rules);
  if (rules.mappings.length === 0) return previous;
  await clearPortsIptables(call, rules);
  await Undo.guard(call.host.log, async undo => {
    await forward(call, rules, undo);
    if (rules.pod.v4 && rules.snat) await routeLocalhost(call, rules.pod.v4);
  });
  forgetFlows(call);
  return previous;
}

/**
 * Conntrack entries of UDP flows keep the translation from before the mapping was added or removed, so they are deleted. A
 * failure is only logged: idle entries expire by themselves.
 */
function forgetFlows(call: Call): void {
  try {
    const mappings = readMappings(call);
    for (const family of [4, 6] as const) {
      const own = mappingsOf(mappings, family === 6).filter(one => one.protocol === 'udp');
      deleteUdpConntrack(call.host.netns, family, new Set(own.map(one => one.hostPort)));
    }
  } catch (error) {
    call.host.log(`portmap: ${describeError(error)}`);
  }
}

async function forward(call: Call, rules: HostPorts, undo: Undo): Promise<void> {
  if (rules.backend === 'iptables') {
    await refuseTakenNft(call, rules);
    // Pushed first: one family is changed after the other.
    undo.push('remove the host ports', () => iptablesHostPorts.remove(call));
    await iptablesHostPorts.add(call, rules);
    return;
  }
  await nftHostPorts.add(call, rules);
  // Only now: a refused ADD has made nothing, and the rules of its tag are those of an earlier ADD.
  undo.push('remove the host ports', () => nftHostPorts.remove(call));
}

/** Lets 127.0.0.1 reach the pod by its host ports: the kernel drops such a route otherwise. The node may have no route to the pod. */
async function routeLocalhost(call: Call, cidr: string): Promise<void> {
  const name = await withNode(call, node => nameOfLinkTo(node, hostPart(cidr)));
  if (!name) return;
  const setting = `net/ipv4/conf/${name}/route_localnet`;
  trySysctl(call.host.netns, setting, '1', 'host ports do not answer on 127.0.0.1');
}

function nameOfLinkTo(node: NetlinkSocket, address: string): string | undefined {
  try {
    const { link } = routeTo(node, address);
    return link === undefined ? undefined : getLink(node, link).name;
  } catch (error) {
    if (isNetError(error)) return undefined;
    throw error;
  }
}

async function del(call: Call): Promise<void> {
  // By name alone: a runtime may leave out portMappings and prevResult on DEL.
  await hostPorts.remove(call);
  forgetFlows(call);
}

async function check(call: Call): Promise<void> {
  const rules = hostPortsOf(readConfig(call), requirePrevResult(call), call.ifname);
  const missing = await hostPorts.check(call, rules);
  if (missing.length === 0) return;
  failCheck(
    `host ports of container ${call.containerId} are missing in nftables and in iptables`,
    missing.join(', '),
  );
}

async function gc(call: Call): Promise<void> {
  await hostPorts.gc(call, validAttachments(call));
}

async function status(call: Call): Promise<void> {
  readConfig(call);
}

/** Forwards ports of the node to a pod. */
export const portmap: Plugin = {
  name: 'portmap',
  docs: {
    keys: { ...portmapFields, ...under('runtimeConfig.portMappings[]', mappingFields) },
    differences: [
      'Without backend, rules are in nftables, or in iptables if externalSetMarkChain or conditions of iptables are given.',
      'A host port in use is refused with code 100, which names the container that has it (nftables) or the chain that forwards it (iptables).',
    ],
  },
  add,
  del,
  check,
  gc,
  status,
};
