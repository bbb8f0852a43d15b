/** One thing that `ripstop doctor` has to say. */
export interface Finding {
  readonly severity: 'fault' | 'warning';
  /** Stable word, for scripts: `port-filtered`. */
  readonly kind: FindingKind;
  /** What is wrong, in a sentence for a person. */
  readonly what: string;
  /** The command, or the change, that mends it. */
  readonly remedy: string;
}

export type FindingKind =
  | 'not-ready'
  | 'store-unreachable'
  | 'part-failing'
  | 'store-emptied'
  | 'kernel-drift'
  | 'setting-refused'
  | 'underlay-blocked'
  | 'port-filtered'
  | 'mtu-too-small'
  | 'vni-differs'
  | 'stale-identity'
  | 'lease-rejected'
  | 'lease-unreadable'
  | 'backend-differs'
  | 'masquerade-wrong'
  | 'bridge-netfilter-missing'
  | 'checksum-broken'
  | 'pod-mtu-differs'
  | 'drops'
  | 'endpoint-closed'
  | 'uncaught-error'
  | 'skipped';

export interface Diagnosis {
  readonly findings: readonly Finding[];
  /** What was looked at and found in order, a line each. */
  readonly inOrder: readonly string[];
}
