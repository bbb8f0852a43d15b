import type { Family } from '../../ip/address.ts';

/** What the rules of a node say, whichever tool carries them. All texts are CIDRs or addresses. */
export interface RuleSet {
  readonly families: readonly FamilyRules[];
  readonly masquerade: boolean;
  /** Random source ports for masqueraded connections: spares the conntrack insert race (5-second DNS delays). */
  readonly fullyRandom: boolean;
  /** Accept forwarded pod traffic. */
  readonly forward: boolean;
  /** UDP port of the tunnel, kept out of NAT and conntrack; undefined without a tunnel. */
  readonly tunnelPort: number | undefined;
  /** Keeps pods off the tunnel port of every node; undefined without a tunnel. */
  readonly guard: TunnelGuard | undefined;
}

/** How packets of pods are told from those of nodes. */
export interface TunnelGuard {
  /** The underlay interface: what comes in there is never a pod's. */
  readonly underlay: string;
  /** Names of interfaces that lead to pods, besides those that match `POD_LINKS`. */
  readonly podInterfaces: readonly string[];
  /** Networks of the underlay interface inside the pod network: its nodes are no pods. Mostly empty. */
  readonly nodeNetworks: readonly { readonly family: Family; readonly cidr: string }[];
}

/** Host ends of pods' links as the CNI plugins name them, up to what follows: `veth1a2b3c4d`. */
export const POD_LINKS = 'veth';

export interface FamilyRules {
  readonly family: Family;
  /** The pod network of the cluster. */
  readonly cluster: string;
  /** The node's own pod subnet. */
  readonly pods: string;
  /** Underlay address of this family that the tunnel is bound to; undefined when it uses the other family. */
  readonly underlay: string | undefined;
}

/** kube-proxy's "masquerade this" bit: what carries it is masqueraded by kube-proxy itself. */
export const KUBE_MASQUERADE_MARK = 0x4000;

/** Destinations that must never be masqueraded: multicast keeps its sender. */
export const MULTICAST: Readonly<Record<Family, string>> = { 4: '224.0.0.0/4', 6: 'ff00::/8' };

/**
 * Source ports for masqueraded UDP, as `first-last`: the tunnel's own port stays out, else replies to a pod would
 * arrive at a port that conntrack does not see and be lost. Undefined: any port.
 */
export function udpPorts(tunnelPort: number | undefined): string | undefined {
  if (tunnelPort === undefined) return undefined;
  return tunnelPort < 33000 ? `${Math.max(tunnelPort + 1, 1024)}-65535` : `1024-${tunnelPort - 1}`;
}

/** Who keeps a rule set in the kernel. Every method is idempotent. */
export interface RuleReconciler {
  readonly tool: 'nftables' | 'iptables';
  /** True when the kernel holds exactly these rules in our chains, each jump once. */
  holds(rules: RuleSet): Promise<boolean>;
  /** Puts them there; our former rules are replaced in one transaction a table. */
  apply(rules: RuleSet): Promise<void>;
  /** Takes away all that this keeper ever made. @returns true when there was something */
  remove(): Promise<boolean>;
}
