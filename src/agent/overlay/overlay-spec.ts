import type { BackendConfig } from '../config/backend.ts';
import type { OverlayPlan } from '../inputs/plan.ts';
import type { Underlay } from '../inputs/underlay.ts';
import type { OverlaySpec } from '../kernel/desired.ts';

export interface OverlaySide {
  readonly plan: OverlayPlan;
  readonly backend: BackendConfig;
  readonly underlay: Underlay;
  readonly isUserspace: boolean;
  readonly txQueueLength: number;
}

/** An overlay as the kernel state is laid out for it. */
export function overlaySpec({
  plan,
  backend,
  underlay,
  isUserspace,
  txQueueLength,
}: OverlaySide): OverlaySpec {
  const { mode, device, mtu, mac, subnets, networks, address } = plan;
  const kernel = backend.type === 'vxlan' && !isUserspace;
  return {
    mode,
    device,
    mtu,
    mac,
    txQueueLength,
    subnets,
    networks,
    underlay: underlay.name,
    ...(kernel
      ? {
          vxlan: {
            vni: backend.vni,
            port: backend.port,
            local: address,
            parent: underlay.name,
            gbp: backend.gbp,
            learning: backend.learning,
          },
        }
      : {}),
  };
}
