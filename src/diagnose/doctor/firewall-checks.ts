import type { Agent } from '../../agent/agent.ts';
import { podInterfaces } from '../../agent/overlay/pod-forwarding.ts';
import type { RuleSet } from '../../agent/rules/model.ts';
import { withPodInterfaces } from '../../agent/rules/pod-interfaces.ts';
import { podSamples } from '../../agent/rules/pod-samples.ts';
import { ruleSet } from '../../agent/rules/rule-set.ts';
import { requireAddress } from '../../ip/address.ts';
import { type PossibleDrop, possibleDrops } from '../../net/filter/evaluate.ts';
import { readFilterTables } from '../../net/filter/filter-tables.ts';
import type { FilterPacket } from '../../net/filter/model.ts';
import { withSocket } from '../../net/rtnetlink/socket.ts';
import { placeOf, remedyForPods, remedyForTunnel } from '../firewall-remedies.ts';
import { type Finding, fault, warning } from './finding.ts';

/** Rules of any program that drop packets of pods, or datagrams of the tunnel. */
export async function checkFirewall(agent: Agent): Promise<Finding[]> {
  const { network, options } = agent;
  if (!network) return [];
  const plans = network.overlays.map(({ plan }) => plan);
  const rules = withPodInterfaces(ruleSet(network.inputs, plans, options), options.netns);
  const tables = await readFilterTables(options.netns);
  const findings = new Map<string, Finding>();
  const note = (
    drops: readonly PossibleDrop[],
    what: string,
    remedy: (drop: PossibleDrop) => string,
  ): void => {
    for (const drop of drops.filter(({ isMatch }) => isMatch)) {
      const place = placeOf(drop);
      const known = findings.get(place);
      // One sample may reach the rule for certain where another may not.
      if (known && (known.severity === 'fault' || !drop.isCertain)) continue;
      const make = drop.isCertain ? fault : warning;
      const verb = drop.isCertain ? 'drops' : 'can drop';
      findings.set(place, make('firewall-drops', `${place} ${verb} ${what}`, remedy(drop)));
    }
  };
  for (const packet of podSamples(rules))
    note(
      possibleDrops(tables, 'forward', packet),
      `packets between pods of this node and of other nodes (${packet.from} to ${packet.to})`,
      drop => remedyForPods(drop, rules),
    );
  for (const packet of tunnelSamples(agent, rules))
    note(
      possibleDrops(tables, 'input', packet),
      `datagrams of the tunnel (UDP port ${rules.tunnelPort})`,
      drop => remedyForTunnel(drop, rules.tunnelPort),
    );
  return [...findings.values()];
}

/** A datagram of a peer of each overlay, as it arrives at the port of the tunnel. */
function tunnelSamples({ network }: Agent, { tunnelPort }: RuleSet): FilterPacket[] {
  if (!network || tunnelPort === undefined) return [];
  return network.overlays.flatMap(({ plan, peers }) => {
    const peer = peers.find(({ direct }) => !direct);
    if (plan.device === undefined || !peer) return [];
    return [
      {
        family: plan.family,
        source: requireAddress(peer.address),
        destination: requireAddress(plan.address),
        protocol: 'udp' as const,
        destinationPort: tunnelPort,
        from: network.inputs.underlay.name,
        to: undefined,
      },
    ];
  });
}

/** Interfaces of pods with forwarding off. The agent switches it on; what is found here it may not write. */
export function checkForwarding({ network, options }: Agent): Finding[] {
  if (!network) return [];
  const interfaces = withSocket(options.netns, socket => podInterfaces(socket, network.inputs.lease.v4));
  return interfaces
    .filter(({ forwards }) => !forwards)
    .map(({ name, setting }) =>
      fault(
        'forwarding-off',
        `the kernel drops every IPv4 packet of pods that arrives by ${name}: its forwarding is off`,
        `sysctl -w ${setting}=1; net.ipv4.conf.default.forwarding=1 sets it for interfaces that are made later`,
      ),
    );
}
