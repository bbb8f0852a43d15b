import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, Registry } from 'prom-client';
import type { Agent } from '../agent/agent.ts';
import type { PathHealth } from '../agent/probe/probe-window.ts';
import { containedErrors } from '../base/boundary.ts';
import { VERDICTS } from '../dataplane/dataplane.ts';

/** One metric of the agent. The page `docs/metrics.md` and the registry are made from this table. */
export interface Metric {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
  /** Values now: labels in the order of `labels`, then the number. */
  readonly read: (
    agent: Agent,
    lag: LagProbe,
  ) => Iterable<readonly [labels: readonly string[], value: number]>;
}

/** Event-loop delay since the last scrape, in seconds. */
export interface LagProbe {
  take(): { mean: number; max: number };
}

const one = (value: number): [[readonly string[], number]] => [[[], value]];

function* verdicts(
  agent: Agent,
  isDrop: boolean,
  field: 'frames' | 'bytes',
): Generator<readonly [string[], number]> {
  for (const overlay of agent.network?.overlays ?? []) {
    const counters = overlay.counters();
    if (!counters) continue;
    for (const { name, drop, direction } of VERDICTS)
      if (drop === isDrop && name !== 'pending')
        yield [[overlay.plan.device ?? '', name, direction], counters.verdicts[name]?.[field] ?? 0];
  }
}

function* peers(
  agent: Agent,
  way: 'egress' | 'ingress',
  field: 'frames' | 'bytes',
): Generator<readonly [string[], number]> {
  for (const overlay of agent.network?.overlays ?? []) {
    const counters = overlay.counters();
    if (!counters) continue;
    const known = new Map(overlay.peers.map(peer => [peer.id, peer]));
    for (const [id, tally] of Object.entries(counters.peers))
      yield [[overlay.plan.device ?? '', id, known.get(id)?.address ?? ''], tally[way][field]];
  }
}

function* probes(
  agent: Agent,
  value: (health: PathHealth) => number | null,
): Generator<readonly [string[], number]> {
  for (const { plan, peers } of agent.network?.overlays ?? [])
    for (const peer of peers) {
      const health = agent.probes.of(plan.device, peer);
      for (const way of ['tunnel', 'underlay'] as const) {
        const number = health?.[way] ? value(health[way]) : null;
        if (number !== null) yield [[plan.device ?? '', peer.id, peer.address, way], number];
      }
    }
}

function* gauges(
  agent: Agent,
  name: 'batches' | 'wakeups' | 'nativeCalls' | 'fallbacks',
): Generator<readonly [string[], number]> {
  for (const overlay of agent.network?.overlays ?? []) {
    const counters = overlay.counters();
    if (!counters) continue;
    for (const way of ['egress', 'ingress'] as const)
      yield [[overlay.plan.device ?? '', way], counters[way][name]];
  }
}

export const METRICS: readonly Metric[] = [
  {
    name: 'ripstop_ready',
    kind: 'gauge',
    help: '1 when packets can flow',
    labels: [],
    read: agent => one(agent.readiness.isReady ? 1 : 0),
  },
  {
    name: 'ripstop_store_up',
    kind: 'gauge',
    help: '1 while the lease store answers',
    labels: ['store'],
    read: agent => [[[agent.store.kind], agent.watch.downSince === undefined ? 1 : 0]],
  },
  {
    name: 'ripstop_lease_remaining_seconds',
    kind: 'gauge',
    help: 'time until the own lease ends; absent when it does not',
    labels: ['lease'],
    read: agent =>
      agent.leaseLeftMs === undefined || !agent.network
        ? []
        : [[[agent.network.inputs.lease.key], agent.leaseLeftMs / 1000]],
  },
  {
    name: 'ripstop_leases',
    kind: 'gauge',
    help: 'leases in the store, the own one included',
    labels: [],
    read: agent => one(agent.leases.size),
  },
  {
    name: 'ripstop_kept_leases',
    kind: 'gauge',
    help: 'leases that an emptied store has lost and that are kept for 10 minutes',
    labels: [],
    read: agent => one(agent.watch.kept?.keys.length ?? 0),
  },
  {
    name: 'ripstop_peers',
    kind: 'gauge',
    help: 'peers of an overlay',
    labels: ['device'],
    read: agent =>
      (agent.network?.overlays ?? []).map(
        overlay => [[overlay.plan.device ?? ''], overlay.peers.length] as const,
      ),
  },
  {
    name: 'ripstop_rejected_leases',
    kind: 'gauge',
    help: 'leases that no peer is made of, by reason',
    labels: ['reason'],
    read: agent => countBy(agent.network?.rejected.map(({ reason }) => reason) ?? []),
  },
  {
    name: 'ripstop_sessions_total',
    kind: 'counter',
    help: 'starts of the overlay; each after the first was an interruption',
    labels: [],
    read: agent => one(agent.networkStarts),
  },
  {
    name: 'ripstop_repairs_total',
    kind: 'counter',
    help: 'foreign changes of kernel state and of subnet.env that were mended, by kind',
    labels: ['step'],
    read: agent => [...agent.repairs.steps].map(([step, count]) => [[step], count] as const),
  },
  {
    name: 'ripstop_rule_repairs_total',
    kind: 'counter',
    help: 'times that foreign changes of the rules were mended',
    labels: [],
    read: agent => one(agent.repairs.rules),
  },
  {
    name: 'ripstop_repair_failures_total',
    kind: 'counter',
    help: 'comparisons with the kernel that failed',
    labels: [],
    read: agent => one(agent.repairs.failures),
  },
  {
    name: 'ripstop_endpoint_up',
    kind: 'gauge',
    help: '1 while a listener of the agent (health, metrics, web, cni) is open; 0: it could not be opened, and is tried again',
    labels: ['endpoint'],
    read: agent =>
      agent.beside.endpoints.states.map(
        ({ name, problem }) => [[name], problem === undefined ? 1 : 0] as const,
      ),
  },
  {
    name: 'ripstop_contained_errors_total',
    kind: 'counter',
    help: 'errors in a listener or a side service that ended there and did not concern packets, by part',
    labels: ['part'],
    read: () => [...containedErrors()].map(([part, count]) => [[part], count] as const),
  },
  {
    name: 'ripstop_uncaught_errors_total',
    kind: 'counter',
    help: 'errors that nothing had handled and that ended an agent on this node, since its state directory was made',
    labels: [],
    read: agent => one(agent.beside.uncaught.count),
  },
  {
    name: 'ripstop_drops_total',
    kind: 'counter',
    help: 'frames lost, by reason',
    labels: ['device', 'reason', 'direction'],
    read: agent => verdicts(agent, true, 'frames'),
  },
  {
    name: 'ripstop_drop_bytes_total',
    kind: 'counter',
    help: 'bytes of frames lost, by reason',
    labels: ['device', 'reason', 'direction'],
    read: agent => verdicts(agent, true, 'bytes'),
  },
  {
    name: 'ripstop_frames_total',
    kind: 'counter',
    help: 'frames that were not lost, by what became of them',
    labels: ['device', 'verdict', 'direction'],
    read: agent => verdicts(agent, false, 'frames'),
  },
  {
    name: 'ripstop_bytes_total',
    kind: 'counter',
    help: 'bytes of frames that were not lost',
    labels: ['device', 'verdict', 'direction'],
    read: agent => verdicts(agent, false, 'bytes'),
  },
  {
    name: 'ripstop_peer_sent_frames_total',
    kind: 'counter',
    help: 'frames sent to a peer',
    labels: ['device', 'peer', 'address'],
    read: agent => peers(agent, 'egress', 'frames'),
  },
  {
    name: 'ripstop_peer_sent_bytes_total',
    kind: 'counter',
    help: 'bytes sent to a peer',
    labels: ['device', 'peer', 'address'],
    read: agent => peers(agent, 'egress', 'bytes'),
  },
  {
    name: 'ripstop_peer_received_frames_total',
    kind: 'counter',
    help: 'frames received from a peer',
    labels: ['device', 'peer', 'address'],
    read: agent => peers(agent, 'ingress', 'frames'),
  },
  {
    name: 'ripstop_peer_received_bytes_total',
    kind: 'counter',
    help: 'bytes received from a peer',
    labels: ['device', 'peer', 'address'],
    read: agent => peers(agent, 'ingress', 'bytes'),
  },
  {
    name: 'ripstop_silent_peers',
    kind: 'gauge',
    help: 'peers that did not answer the last probes, through the tunnel where there is one',
    labels: ['device'],
    read: agent =>
      (agent.network?.overlays ?? []).map(
        ({ plan, peers }) => [[plan.device ?? ''], agent.probes.silent(plan.device, peers)] as const,
      ),
  },
  {
    name: 'ripstop_peer_loss_ratio',
    kind: 'gauge',
    help: 'part of the last probes of a peer that had no answer, by way: tunnel, underlay',
    labels: ['device', 'peer', 'address', 'way'],
    read: agent => probes(agent, ({ probes, lost }) => lost / probes),
  },
  {
    name: 'ripstop_peer_rtt_seconds',
    kind: 'gauge',
    help: 'median round trip of the last probes of a peer, by way: tunnel, underlay',
    labels: ['device', 'peer', 'address', 'way'],
    read: agent => probes(agent, ({ rttMs }) => (rttMs === null ? null : rttMs / 1000)),
  },
  {
    name: 'ripstop_worker_batches_total',
    kind: 'counter',
    help: 'batches that the workers carried',
    labels: ['device', 'direction'],
    read: agent => gauges(agent, 'batches'),
  },
  {
    name: 'ripstop_worker_wakeups_total',
    kind: 'counter',
    help: 'times that the workers woke up',
    labels: ['device', 'direction'],
    read: agent => gauges(agent, 'wakeups'),
  },
  {
    name: 'ripstop_worker_native_calls_total',
    kind: 'counter',
    help: 'calls into the addon',
    labels: ['device', 'direction'],
    read: agent => gauges(agent, 'nativeCalls'),
  },
  {
    name: 'ripstop_worker_offload_fallbacks_total',
    kind: 'counter',
    help: 'offloaded units that the kernel refused and that went out one by one',
    labels: ['device', 'direction'],
    read: agent => gauges(agent, 'fallbacks'),
  },
  {
    name: 'ripstop_worker_restarts_total',
    kind: 'counter',
    help: 'workers that died and were started again',
    labels: ['device'],
    read: agent =>
      (agent.network?.overlays ?? []).map(
        overlay => [[overlay.plan.device ?? ''], overlay.counters()?.restarts ?? 0] as const,
      ),
  },
  {
    name: 'ripstop_worker_lag_seconds',
    kind: 'gauge',
    help: 'time until a worker notices something, as a packet that comes now; max: of the last minute',
    labels: ['device', 'direction', 'statistic'],
    read: function* (agent) {
      for (const overlay of agent.network?.overlays ?? []) {
        const lag = overlay.counters()?.lag;
        for (const way of ['egress', 'ingress'] as const)
          if (lag)
            for (const statistic of ['last', 'max'] as const)
              yield [[overlay.plan.device ?? '', way, statistic], lag[way][`${statistic}Ms`] / 1000];
      }
    },
  },
  {
    name: 'ripstop_lowered_paths',
    kind: 'gauge',
    help: 'peers whose path takes less than the underlay interface',
    labels: ['device'],
    read: agent =>
      (agent.network?.overlays ?? []).map(
        overlay => [[overlay.plan.device ?? ''], overlay.counters()?.loweredPaths ?? 0] as const,
      ),
  },
  {
    name: 'ripstop_event_loop_lag_seconds',
    kind: 'gauge',
    help: 'delay of the agent’s event loop since the last scrape; no packet waits for it',
    labels: ['statistic'],
    read: (_agent, lag) => {
      const { mean, max } = lag.take();
      return [
        [['mean'], mean],
        [['max'], max],
      ];
    },
  },
  {
    name: 'ripstop_resident_memory_bytes',
    kind: 'gauge',
    help: 'memory of the process',
    labels: [],
    read: () => one(process.memoryUsage.rss()),
  },
];

/** A registry whose numbers are read from the agent at each scrape. */
export function createRegistry(agent: Agent): Registry {
  const registry = new Registry();
  const lag = lagProbe();
  for (const { name, kind, help, labels, read } of METRICS) {
    const metric = new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [registry],
      collect() {
        this.reset();
        for (const [values, number] of read(agent, lag))
          this.set(Object.fromEntries(labels.map((label, at) => [label, values[at] ?? ''])), number);
      },
    });
    // The sums are kept in shared memory by the workers: the client's own counters could only be added to.
    if (kind === 'counter') Object.assign(metric, { type: 'counter' });
  }
  return registry;
}

/** Begins to measure. */
export function lagProbe(): LagProbe {
  const histogram = monitorEventLoopDelay({ resolution: 20 });
  histogram.enable();
  return {
    take() {
      const values = {
        mean: (Number.isNaN(histogram.mean) ? 0 : histogram.mean) / 1e9,
        max: histogram.max / 1e9,
      };
      histogram.reset();
      return values;
    },
  };
}

function countBy(words: readonly string[]): (readonly [string[], number])[] {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => [[word], count] as const);
}
