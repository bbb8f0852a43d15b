import type { Agent } from '../../agent/agent.ts';
import type { RuleSet } from '../../agent/rules/model.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { type PlaneRecord, planeOf } from '../../dataplane/replay/plane-copy.ts';
import { formatAddress, requireAddress } from '../../ip/address.ts';
import { formatPrefix, requirePrefix } from '../../ip/prefix.ts';
import type { LiveNode } from '../trace/live.ts';
import type { TraceNode, TraceOverlay } from '../trace/node.ts';
import { type NodeRecord, nodeRecord } from './node-shape.ts';

type OverlayRecord = NodeRecord['overlays'][number];

/** The record of the node of a running agent. @throws NetError, RipstopError when the rules of the kernel cannot be read */
export async function nodeRecordOf(
  { network }: Agent,
  { name, netns, underlay, rules, overlays, hasRules }: LiveNode,
): Promise<NodeRecord> {
  const planes = network?.overlays.map(({ plane }) => plane?.record) ?? [];
  const record = {
    ...{ name, netns, underlay },
    overlays: overlays.map((one, at) => overlayRecord(one, planes[at])),
    rules: rules ?? null,
    hasRules: rules !== undefined && (await hasRules()),
  };
  // Leaves out what the record does not have.
  return nodeRecord.read(record, 'node');
}

function overlayRecord(overlay: TraceOverlay, plane: PlaneRecord | undefined): object {
  const paths = new Map(plane?.peers.map(({ id, pathMtu }) => [id, pathMtu]));
  return {
    ...overlay,
    peers: overlay.peers.map(peer => ({
      ...peer,
      subnets: peer.subnets.map(formatPrefix),
      hosts: peer.hosts?.map(formatAddress),
      pathMtu: paths.get(peer.id) ?? peer.pathMtu,
    })),
    plane: plane && { ...plane, ownSubnets: plane.ownSubnets?.map(formatPrefix) },
  };
}

/** The node for traces. @throws RipstopError ECONFIG for peers that contradict each other */
export function traceNodeOf({ name, underlay, overlays, rules, hasRules }: NodeRecord): TraceNode {
  return {
    ...{ name, underlay, rules: (rules as RuleSet | null) ?? undefined },
    overlays: overlays.map(overlay => {
      const record = planeRecordOf(overlay);
      return { ...overlay, peers: peersOf(overlay), plane: record && planeOf(record) };
    }),
    hasRules: async () => hasRules,
  };
}

/** The data plane of an overlay; undefined where the kernel carries the packets. */
export function planeRecordOf(overlay: OverlayRecord): PlaneRecord | undefined {
  const { mode, plane, port, vni, mac, address } = overlay;
  if (!plane || port === undefined || mode === 'host-gw') return undefined;
  const ownSubnets = plane.ownSubnets?.map(requirePrefix);
  return { ...plane, ...{ mode, vni, mac, address, port, ownSubnets }, peers: peersOf(overlay) };
}

function peersOf({ peers }: OverlayRecord): Peer[] {
  return peers.map(({ subnets, hosts, ...peer }) => ({
    ...peer,
    subnets: subnets.map(requirePrefix),
    hosts: hosts?.map(requireAddress),
  }));
}
