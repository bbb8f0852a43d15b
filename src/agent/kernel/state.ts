import type { Family } from '../../ip/address.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';

/*
 * Kernel state of one overlay on one node as values: what should be there (desired), what is there (observed). Devices
 * stand by name, so that a plan can be read and compared; addresses and prefixes are in canonical text.
 */

/**
 * Mark of the routes that Ripstop makes (RTA protocol, `ip route show proto 114`): 114 is `r` in ASCII and is in no list
 * of iproute2. It tells our stale routes from those of others.
 */
export const PROTOCOL_RIPSTOP = 114;

/** RTPROT_KERNEL (linux/rtnetlink.h): routes that the kernel makes of the addresses of its interfaces. */
export const PROTOCOL_KERNEL = 2;

/** A VXLAN device of the kernel, for nodes that use it in place of the userspace data plane. */
export interface KernelVxlan {
  readonly vni: number;
  readonly port: number;
  readonly local: string;
  /** Name of the underlay interface. */
  readonly parent: string;
  readonly gbp?: boolean;
  readonly learning?: boolean;
}

export interface DesiredDevice {
  readonly name: string;
  /** Bytes. */
  readonly mtu: number;
  /** Absent for a TUN, which has none. */
  readonly mac?: string | undefined;
  /** Packets. */
  readonly txQueueLength: number;
  /** `address/length`, all that it shall have besides link-local ones. */
  readonly addresses: readonly string[];
  /** Set: the kernel's own device, made here. Absent: the data plane has made a TUN or TAP. */
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
  /** Device name; absent where the gateway tells it. */
  readonly device?: string | undefined;
  readonly onlink?: boolean | undefined;
}

/** A value below /proc/sys, named with slashes since device names may hold dots. */
export interface SysctlEntry {
  readonly name: string;
  readonly value: string;
  /** Changed only where these settings (of the same list) have these values now. */
  readonly only?: Readonly<Record<string, string>> | undefined;
  /**
   * Set where traffic does not depend on it: what is different without it. A kernel that lacks the setting, or that does
   * not let it be written, is good enough then.
   */
  readonly without?: string | undefined;
}

export interface DesiredState {
  /** Absent where plain routes do (host-gw). */
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
  readonly addresses: readonly string[];
  readonly vxlan: KernelVxlan | undefined;
}

export interface ObservedRoute extends RouteEntry {
  readonly family: Family;
  readonly protocol: number;
  readonly metric: number;
  /** Of another kind than "one next hop": a blackhole, several hops. */
  readonly special: boolean;
  /** All of it, for giving it back. */
  readonly original: Route;
}

export interface ObservedState {
  readonly device: ObservedDevice | undefined;
  readonly neighbours: readonly NeighbourEntry[];
  readonly forwarding: readonly ForwardingEntry[];
  /** Main table: those that are ours, and those of others to the destinations asked for. */
  readonly routes: readonly ObservedRoute[];
  /** By name; undefined when this kernel has no such setting. */
  readonly settings: ReadonlyMap<string, string | undefined>;
}

/** What belongs to one overlay, so that another one on the same machine is left alone. */
export interface OwnershipScope {
  readonly device: string | undefined;
  /** Cluster networks: our routes into them are this overlay's. */
  readonly networks: readonly string[];
}
