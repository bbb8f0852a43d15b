import { announces, isFlannels } from '../lease/flannel-nodes.ts';
import type { Lease } from '../lease/lease.ts';
import type { NetworkConfig } from './net-conf.ts';
import { tunnelChanges } from './tunnel-change.ts';

/** The nodes that this one exchanges packets with. */
export interface Neighbourhood {
  readonly own: Lease;
  readonly leases: ReadonlyMap<string, Lease>;
  /** True for the key of a lease whose node is a peer and answers. */
  answers(key: string): boolean;
}

/** Keys that a message names. */
const NAMED = 3;

/**
 * Why a change of the tunnel waits: flanneld takes a configuration up when it is restarted, and a node that is ahead of its
 * neighbours loses them. It waits while more nodes of flannel have the present tunnel than the next one.
 * @returns undefined when the change need not wait
 */
export function reasonToWait(
  present: NetworkConfig,
  next: NetworkConfig,
  { own, leases, answers }: Neighbourhood,
): string | undefined {
  const changes = tunnelChanges(present.backend, next.backend);
  if (changes.length === 0) return undefined;
  const flannels = [...leases.values()].filter(lease => isFlannels(lease, own));
  const staying = flannels.filter(({ key }) => answers(key));
  const isVisible = changes.some(({ isInLease }) => isInLease);
  const moved = isVisible ? flannels.filter(lease => announces(lease, next.backend)) : [];
  if (staying.length <= moved.length) return undefined;
  const what = changes.map(change => change.what).join(', ');
  const named = staying.slice(0, NAMED).map(({ key }) => key);
  const more = staying.length > NAMED ? ` and ${staying.length - NAMED} more` : '';
  const when = isVisible
    ? `when as many nodes of flannel have the new tunnel (${moved.length} of them have), or at its own restart or SIGHUP`
    : 'at its own restart or SIGHUP, as leases do not contain these keys';
  return (
    `the change of ${what} waits: it would cut this node off from nodes where flanneld still has the present tunnel ` +
    `(${named.join(', ')}${more}); this node follows ${when}`
  );
}
