import { FORMATS } from '../../../encap/formats.ts';
import { type MtuResult, overlayMtu } from '../../../encap/mtu.ts';
import { RipstopError } from '../../base/errors.ts';
import type { Family } from '../../ip/address.ts';
import { formatPrefix } from '../../ip/prefix.ts';
import type { BackendConfig } from '../config/backend.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import type { SubnetEnv } from '../config/subnet-env.ts';
import { formatUdpData, formatVxlanData } from '../lease/backend-data.ts';
import type { Lease, LeaseAttributes, Subnets } from '../lease/lease.ts';
import type { AgentOptions } from './options.ts';
import type { Underlay } from './underlay.ts';

/**
 * One overlay of this node. flannel's vxlan has one per family, each over the underlay of its own family; udp has one for
 * both families.
 */
export interface OverlayPlan {
  readonly mode: BackendConfig['type'];
  /** Family of the underlay addresses. */
  readonly family: Family;
  /** Families of the pod subnets that it carries. */
  readonly carries: readonly Family[];
  /** Own underlay address. */
  readonly address: string;
  /** Own pod subnets and the cluster's networks, of the families carried. */
  readonly subnets: readonly string[];
  readonly networks: readonly string[];
  /** Bytes of the largest pod packet. */
  readonly mtu: number;
  /** Undefined, as `port`, for plain routes (host-gw). */
  readonly device: string | undefined;
  readonly port: number | undefined;
  /** 0 except in vxlan mode. */
  readonly vni: number;
  /** VTEP MAC (vxlan). */
  readonly mac: string | undefined;
}

/** An overlay with a device and a UDP port. */
export type TunnelPlan = OverlayPlan & {
  readonly mode: 'vxlan' | 'udp';
  readonly device: string;
  readonly port: number;
};

/** True when Ripstop itself carries the packets of an overlay. */
export function isCarriedHere(plan: OverlayPlan, dataPlane: 'userspace' | 'kernel'): plan is TunnelPlan {
  return isModeCarriedHere(plan.mode, dataPlane);
}

/** True when Ripstop itself carries the packets of every overlay of this mode. */
export function isModeCarriedHere(mode: OverlayPlan['mode'], dataPlane: 'userspace' | 'kernel'): boolean {
  return mode === 'udp' || (mode === 'vxlan' && dataPlane === 'userspace');
}

/** VTEP MACs of the node by family of the overlay. */
export interface VtepMacs {
  readonly mac4: string;
  readonly mac6: string;
}

type TunnelBackend = Exclude<BackendConfig, { type: 'host-gw' }>;

/** Name of the device of a family, as in flannel. */
export function deviceName(backend: TunnelBackend, family: Family): string {
  if (backend.type === 'udp') return 'flannel0';
  return family === 4 ? `flannel.${backend.vni}` : `flannel-v6.${backend.vni}`;
}

/** The families in which a node needs an underlay address: udp carries both over one. */
export function underlayFamilies({ backend, v4, v6, single }: NetworkConfig): { v4: boolean; v6: boolean } {
  if (single) return { v4: single.family === 4, v6: single.family === 6 };
  return { v4: v4 !== undefined, v6: v6 !== undefined && (backend.type !== 'udp' || v4 === undefined) };
}

/** What the overlays of a node depend on. */
export interface PlanInputs {
  readonly config: NetworkConfig;
  readonly underlay: Underlay;
  readonly lease: Lease;
  readonly macs: VtepMacs;
}

/**
 * The overlays of a node that holds `lease`.
 * @throws RipstopError ECONFIG when the underlay leaves too little for pods
 */
export function planOverlays({
  config,
  underlay,
  lease,
  macs,
}: Omit<PlanInputs, 'lease'> & { readonly lease: Subnets }): OverlayPlan[] {
  const { backend, single } = config;
  const families = ([4, 6] as const).filter(family =>
    family === 4 ? lease.v4 && config.v4 : lease.v6 && config.v6,
  );
  const overlays = backend.type === 'udp' || single ? [families] : families.map(family => [family]);
  return overlays
    .filter(carries => carries.length > 0)
    .map((carries): OverlayPlan => {
      const family = single?.family ?? (carries.includes(4) ? 4 : 6);
      const address = family === 4 ? underlay.address4 : underlay.address6;
      if (address === undefined) throw new TypeError(`an overlay over IPv${family} without an own address`);
      const result = podMtu(backend, underlay.mtu, family, carries, single?.mtu);
      if (!result.ok) throw new RipstopError('ECONFIG', `${underlay.name}: ${result.problem}`, result.hint);
      const { mtu } = result;
      const subnets = cidrsOf(lease, carries);
      const networks = cidrsOf(config, carries);
      const device = backend.type === 'host-gw' ? undefined : (single?.device ?? deviceName(backend, family));
      const [vni, mac] =
        backend.type === 'vxlan' ? [backend.vni, family === 4 ? macs.mac4 : macs.mac6] : [0, undefined];
      const base = { family, carries, address, subnets, networks, mtu };
      return { ...base, mode: backend.type, device, port: tunnelPort(backend), vni, mac };
    });
}

/** Without the network of all addresses, which stands for a static file without networks. */
function cidrsOf(of: Subnets, carries: readonly Family[]): string[] {
  return carries
    .map(family => (family === 4 ? of.v4 : of.v6))
    .filter(prefix => prefix !== undefined)
    .filter(({ length }) => length > 0)
    .map(formatPrefix);
}

/**
 * MTU of pods: that of the underlay minus the encapsulation, which is 20 bytes more over IPv6. flannel subtracts 50 in
 * both families, so that datagrams of its IPv6 overlay can exceed the underlay's MTU.
 */
function podMtu(
  backend: BackendConfig,
  underlayMtu: number,
  family: Family,
  carries: readonly Family[],
  wanted: number | undefined,
): MtuResult {
  if (backend.type === 'host-gw') return { ok: true, mtu: underlayMtu, warning: undefined };
  const outer = backend.type === 'vxlan' && backend.mtu > 0 ? backend.mtu : underlayMtu;
  return overlayMtu(FORMATS[backend.type], family, outer, carries, wanted);
}

/** A sentence for a configured MTU that the underlay does not have; undefined: it has it, or none is configured. */
export function largeMtu(backend: BackendConfig, { name, mtu }: Underlay): string | undefined {
  if (backend.type !== 'vxlan' || backend.mtu <= mtu) return undefined;
  return `Backend.MTU is ${backend.mtu}, and interface ${name} carries ${mtu}: large packets of pods are answered with "packet too big"`;
}

/** What `subnet.env` says of a node. */
export function subnetEnvOf(
  { config, lease }: PlanInputs,
  plans: readonly OverlayPlan[],
  { masquerade }: Pick<AgentOptions, 'masquerade'>,
): SubnetEnv {
  return {
    network: config.v4,
    subnet: lease.v4,
    network6: config.v6,
    subnet6: lease.v6,
    // Pods have one interface for both families: the smaller MTU holds for both.
    mtu: Math.min(...plans.map(({ mtu }) => mtu)),
    ipMasq: masquerade,
  };
}

/** UDP port of the tunnel; undefined without one. */
export function tunnelPort(backend: BackendConfig): number | undefined {
  return backend.type === 'host-gw' ? undefined : backend.port;
}

/**
 * What the node publishes.
 * @param announced what it does with peers that do so as well
 */
export function leaseAttributes(
  backend: BackendConfig,
  underlay: Underlay,
  macs: VtepMacs,
  announced: { readonly remoteChecksum: boolean; readonly offloadProofs: boolean },
): LeaseAttributes {
  const data = (address: string | undefined, mac: string): unknown => {
    if (!address || backend.type === 'host-gw') return undefined;
    if (backend.type === 'udp') return formatUdpData(announced.offloadProofs);
    return formatVxlanData({ vni: backend.vni, mac, ...announced });
  };
  return {
    publicIp: underlay.public4,
    publicIpv6: underlay.public6,
    // flannel's udp backend writes no type. Its nodes accept one, and nodes of other backends recognise the lease.
    backendType: backend.type,
    backendData: data(underlay.public4, macs.mac4),
    backendV6Data: data(underlay.public6, macs.mac6),
  };
}
