/** A lease that is ignored, with the reason, for logs, metrics and `ripstop status`. */
export interface RejectedLease {
  readonly key: string;
  readonly reason:
    | 'other-backend'
    | 'malformed'
    | 'no-address'
    | 'vni-differs'
    | 'outside-network'
    | 'overlap'
    | 'underlay'
    | 'duplicate'
    | 'off-link'
    /** The tables or the kernel refused it; the agent retries. */
    | 'refused';
  /** Continues "the lease". */
  readonly message: string;
}

/** True for a lease that claims something of another node, or of the network between the nodes. */
export function isContradiction({ reason }: RejectedLease): boolean {
  return reason === 'duplicate' || reason === 'overlap' || reason === 'underlay';
}

/** Leases that an Event names; the log names all. */
const NAMED = 3;

/** A sentence for an Event; undefined where no lease is refused. */
export function describeRefusals(refused: readonly RejectedLease[]): string | undefined {
  if (refused.length === 0) return undefined;
  const named = refused.slice(0, NAMED).map(({ key, message }) => `lease ${key} ${message}`);
  const more = refused.length > NAMED ? `; and ${refused.length - NAMED} more` : '';
  return `no traffic with the nodes of leases that contradict others: ${named.join('; ')}${more}`;
}
