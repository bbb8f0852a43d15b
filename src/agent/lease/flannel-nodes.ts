import type { BackendConfig } from '../config/backend.ts';
import { parseVxlanData } from './backend-data.ts';
import type { Lease } from './lease.ts';

/**
 * True for the lease of a node of flannel, which reads the network configuration only when it starts. A Ripstop node has a
 * heartbeat, or a key of its own in the VXLAN data; a Kubernetes Node without both counts as flannel's only where this node
 * has that key.
 */
export function isFlannels(lease: Lease, own: Lease): boolean {
  if (lease.key === own.key || lease.isKept || lease.isGone) return false;
  if (lease.node?.includes('/') || hasOwnKey(lease)) return false;
  // flannel's udp backend writes no type, Ripstop does.
  if (lease.attributes.backendType === 'udp') return false;
  return lease.node === undefined || hasOwnKey(own);
}

/** True when a lease has the type and the VNI of a backend. */
export function announces({ attributes }: Lease, backend: BackendConfig): boolean {
  if ((attributes.backendType || 'udp') !== backend.type) return false;
  if (backend.type !== 'vxlan') return true;
  const vnis = [attributes.backendData, attributes.backendV6Data].map(data => vniOf(data));
  return vnis.some(vni => vni === backend.vni);
}

function vniOf(data: unknown): number | undefined {
  return read(data)?.vni;
}

function hasOwnKey({ attributes }: Lease): boolean {
  return [attributes.backendData, attributes.backendV6Data].some(data => read(data)?.remoteChecksum === true);
}

function read(data: unknown): ReturnType<typeof parseVxlanData> | undefined {
  try {
    return data === undefined || data === null ? undefined : parseVxlanData(data, '');
  } catch {
    return undefined;
  }
}
