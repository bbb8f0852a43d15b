import { FORMATS } from '../../../encap/formats.ts';
import { type MtuResult, overlayMtu } from '../../../encap/mtu.ts';
import { RipstopError } from '../../base/errors.ts';
import type { Family } from '../../ip/address.ts';
import { formatPrefix } from '../../ip/prefix.ts';
import type { Backend } from '../config/backend.ts';
import type { NetworkConfig } from '../config/net-conf.ts';
import { formatVxlanData } from '../lease/backend-data.ts';
import type { Lease, LeaseAttributes } from '../lease/lease.ts';
import type { Underlay } from './underlay.ts';

/**
 * One overlay of this node: a device with what is routed to it, or plain routes. flannel's vxlan has one a family, each
 * over the underlay of its own family; udp has one for both.
 */
export interface OverlayPlan {
  readonly mode: 'vxlan' | 'udp' | 'host-gw';
  /** Family of the underlay addresses. */
  readonly family: Family;
  /** Families of the pod subnets that go this way. */
  readonly carries: readonly Family[];
  /** Undefined for host-gw. */
  readonly device: string | undefined;
  /** Own underlay address. */
  readonly address: string;
  /** Own pod subnets and the cluster's networks, of the families carried. */
  readonly subnets: readonly string[];
  readonly networks: readonly string[];
  /** Bytes of the largest pod packet. */
  readonly mtu: number;
  /** VTEP MAC (vxlan). */
  readonly mac: string | undefined;
}

/** VTEP MACs of the node by family of the overlay. */
export interface VtepMacs {
  readonly mac4: string;
  readonly mac6: string;
}

/** Names of the devices, as flannel has them, for a backend; with their family and for all that it may make. */
export function deviceNames(backend: Backend): { 4: string | undefined; 6: string | undefined } {
  if (backend.type === 'vxlan') return { 4: `flannel.${backend.vni}`, 6: `flannel-v6.${backend.vni}` };
  return backend.type === 'udp' ? { 4: 'flannel0', 6: 'flannel0' } : { 4: undefined, 6: undefined };
}

/** Whether peers need an underlay address of each family: udp carries both over one. */
export function underlayFamilies({ backend, v4, v6 }: NetworkConfig): { v4: boolean; v6: boolean } {
  return { v4: v4 !== undefined, v6: v6 !== undefined && (backend.type !== 'udp' || v4 === undefined) };
}

/**
 * The overlays of a node that holds `lease`.
 * @throws RipstopError ECONFIG when the underlay leaves too little for pods
 */
export function planOverlays(
  config: NetworkConfig,
  underlay: Underlay,
  lease: Lease,
  macs: VtepMacs,
): OverlayPlan[] {
  const { backend } = config;
  const families = ([4, 6] as const).filter(family =>
    family === 4 ? lease.v4 && config.v4 : lease.v6 && config.v6,
  );
  const overlays = backend.type === 'udp' ? [families] : families.map(family => [family]);
  return overlays
    .filter(carries => carries.length > 0)
    .map((carries): OverlayPlan => {
      const family = carries[0]!;
      const address = (family === 4 ? underlay.address4 : underlay.address6)!;
      const result = podMtu(backend, underlay.mtu, family, carries);
      if (!result.ok) throw new RipstopError('ECONFIG', `${underlay.name}: ${result.problem}`, result.hint);
      const { mtu } = result;
      return {
        mode: backend.type,
        family,
        carries,
        device: deviceNames(backend)[family],
        address,
        subnets: carries.map(carried => formatPrefix((carried === 4 ? lease.v4 : lease.v6)!)),
        networks: carries.map(carried => formatPrefix((carried === 4 ? config.v4 : config.v6)!)),
        mtu,
        mac: backend.type === 'vxlan' ? (family === 4 ? macs.mac4 : macs.mac6) : undefined,
      };
    });
}

/**
 * MTU of pods: that of the underlay less the encapsulation, which is 20 more over IPv6. flannel takes 50 in both
 * families, so that its IPv6 overlay sends datagrams the underlay does not take.
 */
function podMtu(
  backend: Backend,
  underlayMtu: number,
  family: Family,
  carries: readonly Family[],
): MtuResult {
  if (backend.type === 'host-gw') return { ok: true, mtu: underlayMtu, warning: undefined };
  const outer = backend.type === 'vxlan' && backend.mtu > 0 ? backend.mtu : underlayMtu;
  return overlayMtu(FORMATS[backend.type], family, outer, carries);
}

/** UDP port of the tunnel; undefined without one. */
export function tunnelPort(backend: Backend): number | undefined {
  return backend.type === 'host-gw' ? undefined : backend.port;
}

/**
 * What the node tells its peers.
 * @param remoteChecksum it leaves inner checksums open for peers that say the same
 */
export function leaseAttributes(
  backend: Backend,
  underlay: Underlay,
  macs: VtepMacs,
  remoteChecksum: boolean,
): LeaseAttributes {
  const data = (address: string | undefined, mac: string): unknown =>
    backend.type === 'vxlan' && address
      ? formatVxlanData({ vni: backend.vni, mac, remoteChecksum })
      : undefined;
  return {
    publicIp: underlay.public4,
    publicIpv6: underlay.public6,
    // flannel's udp backend writes no type; with one its nodes read the lease as well, and others can tell.
    backendType: backend.type,
    backendData: data(underlay.public4, macs.mac4),
    backendV6Data: data(underlay.public6, macs.mac6),
  };
}
