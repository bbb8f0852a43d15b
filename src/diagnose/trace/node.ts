import type { RuleSet } from '../../agent/rules/model.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { PlaneDecisions } from '../../dataplane/replay/plane-copy.ts';
import { requireAddress } from '../../ip/address.ts';
import { contains, requirePrefix } from '../../ip/prefix.ts';

/** The state of Ripstop on a node that a trace needs in addition to the state of the kernel. */
export interface TraceNode {
  readonly name: string;
  /** Name of the underlay interface. */
  readonly underlay: string;
  readonly overlays: readonly TraceOverlay[];
  /** NAT and forward rules that the agent maintains; undefined if it maintains none. */
  readonly rules: RuleSet | undefined;
  /** Whether the kernel has them. */
  hasRules(): Promise<boolean>;
}

export interface TraceOverlay {
  readonly mode: 'vxlan' | 'udp' | 'host-gw';
  /** Undefined for plain routes. */
  readonly device: string | undefined;
  readonly mac: string | undefined;
  /** Own underlay address. */
  readonly address: string;
  /** UDP port; undefined for plain routes. */
  readonly port: number | undefined;
  readonly vni: number;
  readonly subnets: readonly string[];
  readonly networks: readonly string[];
  readonly peers: readonly Peer[];
  /** Undefined where the kernel carries the packets. */
  readonly plane: PlaneDecisions | undefined;
}

/** Name of a peer for display. */
export function nameOf({ id, node }: Peer): string {
  return node?.split('/')[0] ?? id;
}

/** The peer that owns an address, and its overlay. */
export function ownerOf(node: TraceNode, address: string): { overlay: TraceOverlay; peer: Peer } | undefined {
  const wanted = requireAddress(address);
  for (const overlay of node.overlays)
    for (const peer of overlay.peers)
      if (peer.subnets.some(subnet => contains(subnet, wanted))) return { overlay, peer };
  return undefined;
}

/** Whether this node owns an address. */
export function isOwn(node: TraceNode, address: string): boolean {
  return node.overlays.some(({ subnets }) => subnets.some(subnet => networkContains(subnet, address)));
}

/** Whether a network contains an address. */
export function networkContains(network: string, address: string): boolean {
  return contains(requirePrefix(network), requireAddress(address));
}
