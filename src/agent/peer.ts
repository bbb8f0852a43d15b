import type { LayoutPeer } from './kernel/desired.ts';
import type { RejectedLease } from './lease/claims.ts';

export type { RejectedLease } from './lease/claims.ts';

/** A remote node as one overlay sees it; `id` is its lease's key. */
export interface OverlayPeer extends LayoutPeer {
  readonly id: string;
  readonly node: string | undefined;
  /** Its underlay addresses of both families: inner sources that are its own beside `subnets`. */
  readonly hosts: readonly string[];
  /** Both leases say that inner checksums stay open between the two (`lease/backend-data.ts`). */
  readonly remoteChecksum: boolean;
}

/** True for a lease that claims what is another node's, or of the network between the nodes. */
export function isContradiction({ reason }: RejectedLease): boolean {
  return reason === 'duplicate' || reason === 'overlap' || reason === 'underlay';
}

/** Leases that an Event names; the log names all. */
const NAMED = 3;

/** A sentence for an Event; undefined where there is nothing to tell. */
export function describeRefusals(refused: readonly RejectedLease[]): string | undefined {
  if (refused.length === 0) return undefined;
  const named = refused.slice(0, NAMED).map(({ key, message }) => `lease ${key} ${message}`);
  const more = refused.length > NAMED ? `; and ${refused.length - NAMED} more` : '';
  return `no traffic with the nodes of leases that contradict others: ${named.join('; ')}${more}`;
}
