import type { BackendConfig } from './backend.ts';

/** A change of something that both ends of a tunnel must agree on. */
export interface TunnelChange {
  /** As in `VNI 1 to 2`. */
  readonly what: string;
  /** Leases contain the value, so that it shows who has the new one. */
  readonly isInLease: boolean;
}

/** What changes of the tunnel between two configurations; empty: nothing. */
export function tunnelChanges(from: BackendConfig, to: BackendConfig): TunnelChange[] {
  if (from.type !== to.type) return [{ what: `Type ${from.type} to ${to.type}`, isInLease: true }];
  const [before, after] = [keysOf(from), keysOf(to)];
  return Object.keys(before)
    .filter(key => before[key] !== after[key])
    .map(key => ({ what: `${key} ${before[key]} to ${after[key]}`, isInLease: key === 'VNI' }));
}

function keysOf(backend: BackendConfig): Record<string, number> {
  if (backend.type === 'host-gw') return {};
  if (backend.type === 'udp') return { Port: backend.port };
  return { VNI: backend.vni, Port: backend.port, MTU: backend.mtu };
}
