import type { ExplanationText } from './text.ts';

interface Alert extends ExplanationText {
  /** PromQL. */
  readonly expr: string;
  /** How long it must hold, as Prometheus writes durations. */
  readonly for: string;
  readonly severity: 'critical' | 'warning';
}

/** By name of the alert in docs/deploy/prometheus-rules.yml, which is generated from here. */
export const ALERTS: Readonly<Record<string, Alert>> = {
  RipstopNotReady: {
    expr: 'ripstop_ready == 0',
    for: '5m',
    severity: 'critical',
    meaning: 'The node has not been ready to carry packets for five minutes.',
    cause: 'See the doctor finding not-ready.',
    evidence: '`ripstop status` and `ripstop doctor` on the node.',
    remedy: 'Remove the cause that `ripstop status` names.',
  },
  RipstopStoreDown: {
    expr: 'ripstop_store_up == 0',
    for: '10m',
    severity: 'warning',
    meaning: 'The node has not reached its lease store for ten minutes.',
    cause: 'See the doctor finding store-unreachable.',
    evidence: "`ripstop status` on the node shows since when, and the agent's log the error.",
    remedy:
      'Make the store reachable before the lease of the node expires (ripstop_lease_remaining_seconds).',
  },
  RipstopDrops: {
    expr: 'sum by (instance, reason) (rate(ripstop_drops_total{reason!~"multicast|no-peer"}[5m])) > 1',
    for: '5m',
    severity: 'warning',
    meaning: 'The node loses more than one frame per second for one reason.',
    cause: 'The label `reason` is a verdict; `ripstop explain REASON` has its causes.',
    evidence: '`ripstop drops --follow` on the node shows each frame.',
    remedy: 'Follow the text of the verdict.',
  },
  RipstopTunnelSilent: {
    expr: 'ripstop_peer_loss_ratio{path="tunnel"} == 1 and ignoring (path) ripstop_peer_loss_ratio{path="underlay"} < 1',
    for: '5m',
    severity: 'critical',
    meaning: 'A peer answers over the underlay and not through the tunnel.',
    cause: 'See the doctor findings port-filtered and stale-identity.',
    evidence: '`ripstop doctor` on this node and on the peer.',
    remedy: 'Open the UDP port of the overlay between the nodes, or restart the agent of the peer.',
  },
  RipstopRepairs: {
    expr: 'sum by (instance) (increase(ripstop_repairs_total[30m])) > 10 or sum by (instance) (increase(ripstop_rule_repairs_total[30m])) > 10',
    for: '0m',
    severity: 'warning',
    meaning: 'The agent corrects the kernel state again and again.',
    cause: 'Another program changes routes, neighbours, addresses or rules of the overlay.',
    evidence: "The agent's log names each correction. `ip monitor` shows who comes first.",
    remedy: 'Configure the other program to leave the devices of Ripstop alone.',
  },
  RipstopUncaughtError: {
    expr: 'increase(ripstop_uncaught_errors_total[1h]) > 0',
    for: '0m',
    severity: 'critical',
    meaning: 'The agent ended because of an error that no code caught.',
    cause: 'This is a bug of Ripstop.',
    evidence: "The line 'uncaught error' of the agent's log has the stack.",
    remedy: 'Report it with that line.',
  },
};
