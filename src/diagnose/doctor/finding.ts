import { described, listOf, oneOf, record, string, type ValueOf } from '../../base/schema.ts';

const KINDS = [
  'not-ready',
  'store-unreachable',
  'store-write-failing',
  'store-rights',
  'configuration-waits',
  'part-failing',
  'store-emptied',
  'config-unusable',
  'kernel-drift',
  'setting-refused',
  'underlay-blocked',
  'icmp-filtered',
  'peer-absent',
  'port-filtered',
  'reverse-path-filter',
  'route-diverted',
  'queue-full',
  'mtu-too-small',
  'mtu-too-large',
  'vni-differs',
  'stale-identity',
  'lease-rejected',
  'lease-unreadable',
  'backend-differs',
  'stale-bridge',
  'firewall-drops',
  'forwarding-off',
  'masquerade-wrong',
  'bridge-netfilter-missing',
  'checksum-broken',
  'segmentation-broken',
  'pod-mtu-differs',
  'cpu-starved',
  'drops',
  'endpoint-closed',
  'uncaught-error',
  'skipped',
] as const;

/** One result of `ripstop doctor`. */
const finding = record({
  severity: described('`fault` makes the exit status 1', oneOf(['fault', 'warning'])),
  kind: described('stable word; `ripstop explain` has a text for each', oneOf(KINDS)),
  what: described('what is wrong, as a sentence', string),
  remedy: described('command or change that fixes it', string),
});

export const diagnosis = record({
  findings: described('faults and warnings', listOf(finding)),
  inOrder: described('what was checked and found in order', listOf(string)),
});

export type Finding = ValueOf<typeof finding>;
export type Diagnosis = ValueOf<typeof diagnosis>;

export const fault = finder('fault');
export const warning = finder('warning');

function finder(severity: Finding['severity']) {
  return (kind: Finding['kind'], what: string, remedy: string): Finding => ({ severity, kind, what, remedy });
}
