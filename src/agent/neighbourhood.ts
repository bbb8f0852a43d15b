import type { Neighbourhood } from './config/pending-change.ts';
import type { LeaseClient } from './lease/client.ts';
import type { Network } from './overlay/network.ts';
import type { PeerMonitor } from './probe/peer-monitor.ts';
import type { StoreWatch } from './store/store-watch.ts';

/** What of the agent shows its neighbours. */
interface Neighbours {
  readonly network: Network | undefined;
  readonly watch: Pick<StoreWatch, 'leases'>;
  readonly lease: Pick<LeaseClient, 'lease'>;
  readonly probes: Pick<PeerMonitor, 'silent'>;
}

/** The nodes that this one exchanges packets with; undefined while there is no network, or no lease. */
export function neighbourhoodOf({ network, watch, lease, probes }: Neighbours): Neighbourhood | undefined {
  const { leases } = watch;
  const own = lease.lease;
  if (!network || !leases || !own) return undefined;
  const answers = (key: string): boolean =>
    network.overlays.some(overlay => {
      const peer = overlay.peer(key);
      return peer !== undefined && probes.silent(overlay.plan.device, [peer]) === 0;
    });
  return { own, leases, answers };
}
