import type { Agent } from '../../agent/agent.ts';
import { IptablesRules } from '../../agent/rules/iptables.ts';
import { NftablesRules } from '../../agent/rules/nftables.ts';
import { withPodInterfaces } from '../../agent/rules/pod-interfaces.ts';
import { ruleSet } from '../../agent/rules/rule-set.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import type { TraceAnswer, TraceRequest } from './answer.ts';
import { KernelLookup } from './kernel/kernel-lookup.ts';
import { liveState } from './kernel/live-state.ts';
import type { TraceNode } from './node.ts';
import { tracePacket } from './trace.ts';

/* Traces by the live tables of the data plane and the state of the kernel. They send nothing and change nothing. */

/** The node of a running agent. */
export interface LiveNode extends TraceNode {
  /** Path of the network namespace, '' for that of this process. */
  readonly netns: string;
}

/** @throws RipstopError as `tracePacket` */
export async function traceHere(node: LiveNode, request: TraceRequest): Promise<TraceAnswer> {
  const socket = new NetlinkSocket({ netns: node.netns });
  try {
    return await tracePacket(node, new KernelLookup(liveState(socket)), request);
  } finally {
    socket.close();
  }
}

/** The node of an agent. */
export function traceNodeFromAgent({ network, options }: Agent): LiveNode | undefined {
  if (!network) return undefined;
  const { overlays, inputs } = network;
  const plans = overlays.map(({ plan }) => plan);
  const rules = ruleSet(inputs, plans, options);
  const { netns, nodeName, instance } = options;
  return {
    name: nodeName,
    netns,
    underlay: inputs.underlay.name,
    overlays: overlays.map(({ plan, peers, plane }) => ({
      ...plan,
      peers,
      plane: plane && {
        get leavesChecksums() {
          return plane.offloads.csum === 'on';
        },
        classifier: () => plane.classifier(),
        context: () => plane.taps.context(),
      },
    })),
    rules: options.rules ? withPodInterfaces(rules, netns) : undefined,
    hasRules: () =>
      network.rules.tool === 'nftables'
        ? new NftablesRules(netns, instance).exists()
        : new IptablesRules(netns, instance).holds(withPodInterfaces(rules, netns)),
  };
}
