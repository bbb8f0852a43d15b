import { formatPrefix } from '../../ip/prefix.ts';
import type { AgentOptions } from '../inputs/options.ts';
import { type OverlayPlan, type PlanInputs, tunnelPort } from '../inputs/plan.ts';
import type { NetworkInputs } from '../inputs/resolve.ts';
import type { FamilyRules, RuleSet, RuleTool } from './model.ts';

/** The tool that keeps the rules; undefined: nftables where it is installed. */
export function trafficManager({ config }: PlanInputs, options: AgentOptions): RuleTool | undefined {
  if (options.trafficManager) return options.trafficManager;
  return config.nftables === undefined ? undefined : config.nftables ? 'nftables' : 'iptables';
}

/** The rules of a node with these overlays; `withPodInterfaces` adds what changes at run time. */
export function ruleSet(
  { config, lease, settings, underlay: { name } }: NetworkInputs,
  plans: readonly OverlayPlan[],
  options: AgentOptions,
): RuleSet {
  const families: FamilyRules[] = [];
  // The data plane of Ripstop checks this itself, before the packet reaches the kernel.
  const isTransitBlocked =
    config.backend.type === 'vxlan' &&
    options.dataPlane === 'kernel' &&
    settings.values.sourceCheck === 'strict' &&
    config.single === undefined;
  for (const family of [4, 6] as const) {
    const [cluster, pods] = family === 4 ? [config.v4, lease.v4] : [config.v6, lease.v6];
    if (!cluster || !pods) continue;
    const underlay = plans.find(plan => plan.family === family && plan.device !== undefined)?.address;
    const outside = plans.find(({ carries }) => carries.includes(family))?.device ?? name;
    const published = family === 4 ? lease.attributes.publicIp : lease.attributes.publicIpv6;
    const [network, subnet] = [formatPrefix(cluster), formatPrefix(pods)];
    const noTransitFrom = isTransitBlocked ? outside : undefined;
    families.push({ family, cluster: network, pods: subnet, underlay, outside, published, noTransitFrom });
  }
  const port = tunnelPort(config.backend);
  const devices = plans.map(({ device }) => device).filter(device => device !== undefined);
  return {
    families,
    masquerade: options.masquerade,
    fullyRandom: options.fullyRandom,
    forward: options.forwardRules,
    tunnelPort: port,
    // Packets of other nodes' pods arrive by the overlay devices, which have no address yet when the rules are first set.
    guard: port === undefined ? undefined : { underlay: name, podInterfaces: devices, nodeNetworks: [] },
  };
}
