import { listOf, oneOf, record, string, type ValueOf } from '../../base/schema.ts';

const KINDS = [
  'not-ready',
  'store-unreachable',
  'part-failing',
  'store-emptied',
  'kernel-drift',
  'setting-refused',
  'underlay-blocked',
  'port-filtered',
  'mtu-too-small',
  'vni-differs',
  'stale-identity',
  'lease-rejected',
  'lease-unreadable',
  'backend-differs',
  'masquerade-wrong',
  'bridge-netfilter-missing',
  'checksum-broken',
  'pod-mtu-differs',
  'drops',
  'endpoint-closed',
  'uncaught-error',
  'skipped',
] as const;

/** One result of `ripstop doctor`. */
const finding = record({
  severity: oneOf(['fault', 'warning']),
  /** Stable word, for scripts. */
  kind: oneOf(KINDS),
  /** What is wrong, in a sentence for a person. */
  what: string,
  /** The command, or the change, that fixes it. */
  remedy: string,
});

/** `inOrder`: what was checked and found in order. */
export const diagnosis = record({ findings: listOf(finding), inOrder: listOf(string) });

export type Finding = ValueOf<typeof finding>;
export type Diagnosis = ValueOf<typeof diagnosis>;

export const fault = finder('fault');
export const warning = finder('warning');

function finder(severity: Finding['severity']) {
  return (kind: Finding['kind'], what: string, remedy: string): Finding => ({ severity, kind, what, remedy });
}
