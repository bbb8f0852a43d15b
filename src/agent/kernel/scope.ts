import { requirePrefix } from '../../ip/prefix.ts';
import type { OverlayPlan } from '../inputs/plan.ts';
import type { OwnershipScope } from './state.ts';

/** What an overlay takes over besides its own. */
export interface Takeover {
  /** Routes that flannel left are taken over; `ripstop run`, which restores everything at its end, takes over nothing. */
  readonly fromFlannel: boolean;
  /** Pod networks of an earlier configuration. */
  readonly formerNetworks: readonly string[];
}

/** @param underlay name of the underlay interface */
export function ownershipScope(
  { device, networks, subnets }: Pick<OverlayPlan, 'device' | 'networks' | 'subnets'>,
  underlay: string,
  { fromFlannel, formerNetworks }: Takeover,
): OwnershipScope {
  const lengths = subnets.map(subnet => requirePrefix(subnet).length);
  return {
    device,
    networks,
    formerNetworks,
    adopts: fromFlannel,
    leftovers: fromFlannel ? { underlay, lengths } : undefined,
  };
}
