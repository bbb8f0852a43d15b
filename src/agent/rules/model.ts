import type { Family } from '../../ip/address.ts';

/** The rules of a node, independent of the tool. All texts are CIDRs or addresses. */
export interface RuleSet {
  readonly families: readonly FamilyRules[];
  readonly masquerade: boolean;
  /** Random source ports for masqueraded connections: avoids the conntrack insert race (5-second DNS delays). */
  readonly fullyRandom: boolean;
  /** Accept forwarded pod traffic. */
  readonly forward: boolean;
  /** UDP port of the tunnel, kept out of NAT and conntrack; undefined without a tunnel. */
  readonly tunnelPort: number | undefined;
  /** Blocks packets of pods to the tunnel port of every node; undefined without a tunnel. */
  readonly guard: TunnelGuard | undefined;
}

/** How packets of pods are distinguished from those of nodes. */
export interface TunnelGuard {
  /** The underlay interface: no packets of pods arrive there. */
  readonly underlay: string;
  /** Names of interfaces that lead to pods, except those that match `POD_LINKS`. */
  readonly podInterfaces: readonly string[];
  /** Networks of the underlay interface inside the pod network: their addresses are nodes. Mostly empty. */
  readonly nodeNetworks: readonly { readonly family: Family; readonly cidr: string }[];
}

/** Beginning of the names that CNI plugins give the host ends of pods' links: `veth1a2b3c4d`. */
export const POD_LINKS = 'veth';

export interface FamilyRules {
  readonly family: Family;
  /** The pod network of the cluster. */
  readonly cluster: string;
  /** The node's own pod subnet. */
  readonly pods: string;
  /** Underlay address of this family that the tunnel is bound to; undefined when it uses the other family. */
  readonly underlay: string | undefined;
  /** Interface by which packets of pods leave the node: the overlay device, or the underlay interface. */
  readonly outside?: string | undefined;
  /** Underlay address that the lease publishes: other nodes accept it as a source of packets of this node. */
  readonly published?: string | undefined;
  /** Further addresses of this node: other nodes refuse them as sources, so packets get the address of the overlay device. */
  readonly hostSources?: readonly string[];
  /** VXLAN device of the kernel: what arrives by it must be for this node's pods, so that no peer uses the node as a relay. */
  readonly noTransitFrom?: string | undefined;
}

/** Mark of packets that kube-proxy masquerades itself. */
export const KUBE_MASQUERADE_MARK = 0x4000;

/** Destinations that are never masqueraded: multicast keeps its source address. */
export const MULTICAST: Readonly<Record<Family, string>> = { 4: '224.0.0.0/4', 6: 'ff00::/8' };

/** Destinations that the kernel does not forward to: multicast and broadcast, and link-local addresses of IPv6. */
export const NOT_FORWARDED: Readonly<Record<Family, string>> = { 4: '224.0.0.0/3', 6: 'fe00::/7' };

/**
 * Source ports for masqueraded UDP, as `first-last`, without the port of the tunnel: conntrack does not see replies to
 * that port, which would be lost. Undefined: any port.
 */
export function udpPorts(tunnelPort: number | undefined): string | undefined {
  if (tunnelPort === undefined) return undefined;
  return tunnelPort < 33000 ? `${Math.max(tunnelPort + 1, 1024)}-65535` : `1024-${tunnelPort - 1}`;
}

/** Sources of packets of the node itself that are masqueraded when they leave by the overlay device. */
export function translatedSources(
  { masquerade, tunnelPort }: RuleSet,
  { outside, hostSources = [] }: FamilyRules,
): readonly string[] {
  // With masquerading other rules translate them; plain routes have no source check.
  return masquerade || tunnelPort === undefined || outside === undefined ? [] : hostSources;
}

export type RuleTool = 'nftables' | 'iptables';

/** Keeps a rule set in the kernel with one tool. Every method is idempotent. */
export interface RuleReconciler {
  readonly tool: RuleTool;
  /** True when our chains contain exactly these rules, with one jump per chain. */
  holds(rules: RuleSet): Promise<boolean>;
  /** Sets the rules. Our former rules are replaced in one transaction per table. */
  apply(rules: RuleSet): Promise<void>;
  /** Removes all rules of ours. @returns true when there were any */
  remove(): Promise<boolean>;
}
