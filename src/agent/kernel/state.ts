import type { Family } from '../../ip/address.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';

/*
 * Kernel state of one overlay on one node as values: the desired state and the observed one. Devices are referred to by
 * name; addresses and prefixes are in canonical text.
 */

/**
 * Protocol of the routes that Ripstop makes (`ip route show proto 114`): 114 is `r` in ASCII, and iproute2 lists no other
 * program under it. It identifies stale routes of ours.
 */
export const PROTOCOL_RIPSTOP = 114;

/** RTPROT_BOOT (linux/rtnetlink.h): routes of `ip route` without a protocol, and of flannel. */
export const PROTOCOL_BOOT = 3;

/** RTPROT_KERNEL (linux/rtnetlink.h): routes that the kernel derives from the addresses of its interfaces. */
export const PROTOCOL_KERNEL = 2;

/** A VXLAN device of the kernel, for nodes without the userspace data plane. */
export interface KernelVxlan {
  readonly vni: number;
  readonly port: number;
  readonly local: string;
  /** Name of the underlay interface. */
  readonly parent: string;
  readonly gbp?: boolean;
  readonly learning?: boolean;
  /** The outer header gets the DSCP of the inner packet. */
  readonly copyDscp?: boolean;
}

/** Alias of the kernel VXLAN devices of agents. flanneld's have the same names, and may have the same MAC. */
export const DEVICE_ALIAS = 'ripstop';

export interface DesiredDevice {
  readonly name: string;
  /** Bytes. */
  readonly mtu: number;
  /** Absent for a TUN, which has none. */
  readonly mac?: string | undefined;
  /** Packets. */
  readonly txQueueLength: number;
  /** `address/length`: all addresses of the device except link-local ones. */
  readonly addresses: readonly string[];
  /** Set: a device of the kernel, which the agent creates. Absent: a TUN or TAP, which the data plane creates. */
  readonly vxlan?: KernelVxlan | undefined;
}

export interface NeighbourEntry {
  readonly address: string;
  readonly mac: string;
}

export interface ForwardingEntry {
  readonly mac: string;
  readonly remote: string;
}

export interface RouteEntry {
  readonly destination: string;
  readonly gateway?: string | undefined;
  /** Device name; absent where it follows from the gateway. */
  readonly device?: string | undefined;
  readonly onlink?: boolean | undefined;
}

/** A value below /proc/sys, named with slashes because device names may contain dots. */
export interface SysctlEntry {
  readonly name: string;
  readonly value: string;
  /** Changed only while these sysctls (of the same list) have these values. */
  readonly only?: Readonly<Record<string, string>> | undefined;
  /**
   * What is different without the sysctl, where traffic does not depend on it. A kernel that lacks the sysctl or refuses to
   * write it is sufficient then.
   */
  readonly without?: string | undefined;
}

export interface DesiredState {
  /** Absent for plain routes (host-gw). */
  readonly device?: DesiredDevice | undefined;
  /** Permanent ones on the device. */
  readonly neighbours: readonly NeighbourEntry[];
  /** On a kernel VXLAN. */
  readonly forwarding: readonly ForwardingEntry[];
  readonly routes: readonly RouteEntry[];
  readonly settings: readonly SysctlEntry[];
}

export interface ObservedDevice {
  readonly index: number;
  readonly name: string;
  readonly kind: string | undefined;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string | undefined;
  readonly txQueueLength: number;
  readonly alias: string | undefined;
  readonly addresses: readonly string[];
  readonly vxlan: KernelVxlan | undefined;
}

export interface ObservedRoute extends RouteEntry {
  readonly family: Family;
  readonly protocol: number;
  readonly metric: number;
  /** Of another kind than one next hop: a blackhole, or several hops. */
  readonly special: boolean;
  /** The whole route, for restoring it. */
  readonly original: Route;
}

export interface ObservedState {
  readonly device: ObservedDevice | undefined;
  readonly neighbours: readonly NeighbourEntry[];
  readonly forwarding: readonly ForwardingEntry[];
  /** Of the main table: our routes, and those of others to the desired destinations. */
  readonly routes: readonly ObservedRoute[];
  /** By name; undefined where this kernel has no such sysctl. */
  readonly settings: ReadonlyMap<string, string | undefined>;
}

/** What belongs to one overlay, so that another overlay on the same node is not changed. */
export interface OwnershipScope {
  readonly device: string | undefined;
  /** Cluster networks: routes of ours into them belong to this overlay. */
  readonly networks: readonly string[];
  /** Cluster networks of an earlier configuration: routes of ours into them are stale. */
  readonly formerNetworks?: readonly string[];
  /** A route of flannel, or one made manually, that equals a desired one becomes ours. */
  readonly adopts?: boolean;
  /** Set for the first comparison: routes that flannel left to nodes without a lease are ours. */
  readonly leftovers?: FlannelLeftovers | undefined;
}

/** How routes that flannel left are recognised. It marks them in no way. */
export interface FlannelLeftovers {
  /** Name of the underlay interface, by which plain routes lead; undefined: any interface. */
  readonly underlay: string | undefined;
  /** Prefix lengths of node subnets. */
  readonly lengths: readonly number[];
}
