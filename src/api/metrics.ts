import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, Registry } from 'prom-client';
import type { Agent } from '../agent/agent.ts';
import { failingWrites } from '../agent/faults.ts';
import type { Overlay } from '../agent/overlay/overlay.ts';
import type { PathHealth } from '../agent/probe/probe-window.ts';
import { containedErrors } from '../base/boundary.ts';
import { type CounterSnapshot, VERDICTS } from '../dataplane/dataplane.ts';

/** One metric of the agent. The registry and the table in `docs/reference/metrics.md` are made from METRICS. */
export interface Metric {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: Read;
}

/** Values now: labels in the order of `labels`, then the number. */
type Read = (agent: Agent, lag: LagProbe) => Iterable<Sample>;
type Sample = readonly [labels: readonly string[], value: number];
type Series = Pick<Metric, 'labels' | 'read'>;

/** Event-loop delay since the last scrape, in seconds. */
export interface LagProbe {
  take(): { mean: number; max: number };
}

const DIRECTIONS = ['egress', 'ingress'] as const;

/** One number, absent while it is undefined. */
function single(value: (agent: Agent) => number | undefined): Series {
  return { labels: [], read: agent => [value(agent)].flatMap(now => (now === undefined ? [] : [[[], now]])) };
}

/** One number per value of a label. */
function by(label: string, values: (agent: Agent, lag: LagProbe) => Iterable<[string, number]>): Series {
  return {
    labels: [label],
    read: (agent, lag) => [...values(agent, lag)].map(([key, now]) => [[key], now] as const),
  };
}

function perOverlay(value: (overlay: Overlay, agent: Agent) => number): Series {
  return by('device', agent => overlaysOf(agent).map(one => [one.plan.device ?? '', value(one, agent)]));
}

/** What the workers of the userspace data planes count: none where the kernel carries the packets. */
function perDataPlane(
  labels: readonly string[],
  samples: (counters: CounterSnapshot, overlay: Overlay) => Iterable<Sample>,
): Series {
  return {
    labels: ['device', ...labels],
    *read(agent) {
      for (const overlay of overlaysOf(agent)) {
        const counters = overlay.counters();
        if (!counters) continue;
        for (const [values, now] of samples(counters, overlay))
          yield [[overlay.plan.device ?? '', ...values], now];
      }
    },
  };
}

function perVerdict(label: 'reason' | 'verdict', field: 'frames' | 'bytes'): Series {
  const counted = VERDICTS.filter(({ name, drop }) => drop === (label === 'reason') && name !== 'pending');
  return perDataPlane([label, 'direction'], ({ verdicts }) =>
    counted.map(({ name, direction }) => [[name, direction], verdicts[name]?.[field] ?? 0]),
  );
}

function perPeer(direction: 'egress' | 'ingress', field: 'frames' | 'bytes'): Series {
  return perDataPlane(['peer', 'address'], ({ peers }, overlay) => {
    const addresses = new Map(overlay.peers.map(({ id, address }) => [id, address]));
    return Object.entries(peers).map(([id, counts]) => [
      [id, addresses.get(id) ?? ''],
      counts[direction][field],
    ]);
  });
}

/** Per peer and path: through the tunnel, and over the underlay. */
function perPath(value: (health: PathHealth) => number | null): Series {
  return {
    labels: ['device', 'peer', 'address', 'path'],
    *read(agent) {
      for (const { plan, peers } of overlaysOf(agent))
        for (const peer of peers) {
          const health = agent.probes.of(plan.device, peer);
          for (const path of ['tunnel', 'underlay'] as const) {
            const now = health?.[path] ? value(health[path]) : null;
            if (now !== null) yield [[plan.device ?? '', peer.id, peer.address, path], now];
          }
        }
    },
  };
}

function perWorker(name: 'batches' | 'wakeups' | 'nativeCalls' | 'fallbacks'): Series {
  return perDataPlane(['direction'], counters =>
    DIRECTIONS.map(direction => [[direction], counters[direction][name]]),
  );
}

const perQueue = perDataPlane(['direction', 'queue'], ({ queues }) =>
  queues.flatMap((frames, queue): Sample[] =>
    DIRECTIONS.map(direction => [[direction, String(queue)], frames[direction]]),
  ),
);

const workerLag = perDataPlane(['direction', 'statistic'], ({ lag }) =>
  DIRECTIONS.flatMap((direction): Sample[] => [
    [[direction, 'last'], lag[direction].lastMs / 1000],
    [[direction, 'max'], lag[direction].maxMs / 1000],
  ]),
);

function leaseLeft({ network, lease: { leftMs } }: Agent): [string, number][] {
  return network && leftMs !== undefined ? [[network.inputs.lease.key, leftMs / 1000]] : [];
}

function overlaysOf({ network }: Agent): readonly Overlay[] {
  return network?.overlays ?? [];
}

const gauge = (help: string, series: Series) => ({ kind: 'gauge', help, ...series }) as const;
const counter = (help: string, series: Series) => ({ kind: 'counter', help, ...series }) as const;

const TABLE: Readonly<Record<string, Omit<Metric, 'name'>>> = {
  ripstop_ready: gauge(
    'Whether the overlay can forward packets: 1 or 0.',
    single(one => Number(one.readiness.isReady)),
  ),
  ripstop_store_up: gauge(
    "Whether the lease store answers and takes this node's writes: 1 or 0.",
    by('store', one => [
      [one.store.kind, Number(one.watch.downSince === undefined && failingWrites(one).size === 0)],
    ]),
  ),
  ripstop_store_failing_writes: gauge(
    'Writes of this node that the lease store does not take at present: 1 per write.',
    by('write', one => [...failingWrites(one).keys()].map((what): [string, number] => [what, 1])),
  ),
  ripstop_lease_remaining_seconds: gauge(
    "Time until this node's lease ends; absent for a lease without an end.",
    by('lease', leaseLeft),
  ),
  ripstop_leases: gauge(
    "Leases in the store, this node's included.",
    single(one => one.watch.leases?.size ?? 0),
  ),
  ripstop_kept_leases: gauge(
    'Leases that are kept for 10 minutes after the store lost them all at once.',
    single(one => one.watch.kept?.keys.length ?? 0),
  ),
  ripstop_rejected_leases: gauge(
    'Rejected leases, by reason.',
    by('reason', one => countBy(one.network?.rejected.map(({ reason }) => reason))),
  ),
  ripstop_overlay_starts_total: counter(
    'Starts of the overlay; each after the first interrupted traffic.',
    single(one => one.networkStarts),
  ),
  ripstop_repairs_total: counter(
    'Foreign changes of kernel state and of subnet.env that were reverted, by kind.',
    by('step', one => one.repairs.steps),
  ),
  ripstop_rule_repairs_total: counter(
    'Foreign changes of the firewall rules that were reverted.',
    single(one => one.repairs.rules),
  ),
  ripstop_repair_failures_total: counter(
    'Comparisons with the kernel state that failed.',
    single(one => one.repairs.failures),
  ),
  ripstop_endpoint_up: gauge(
    'Whether a listener of the agent is open: 1, or 0 while opening it is retried.',
    by('endpoint', one =>
      one.endpoints.states.map(({ name, problem }) => [name, Number(problem === undefined)]),
    ),
  ),
  ripstop_contained_errors_total: counter(
    'Errors in a listener or side service that did not affect packets, by part.',
    by('part', containedErrors),
  ),
  ripstop_uncaught_errors_total: counter(
    'Uncaught errors that ended an agent on this node since its state directory was made.',
    single(one => one.uncaught.count),
  ),
  ripstop_drops_total: counter('Frames dropped, by reason.', perVerdict('reason', 'frames')),
  ripstop_drop_bytes_total: counter('Bytes of dropped frames, by reason.', perVerdict('reason', 'bytes')),
  ripstop_frames_total: counter('Frames that were not dropped, by verdict.', perVerdict('verdict', 'frames')),
  ripstop_bytes_total: counter(
    'Bytes of frames that were not dropped, by verdict.',
    perVerdict('verdict', 'bytes'),
  ),
  ripstop_peers: gauge(
    'Peers of an overlay.',
    perOverlay(({ peers }) => peers.length),
  ),
  ripstop_peers_unreachable: gauge(
    'Peers that did not answer the last probes, through the tunnel where there is one.',
    perOverlay(({ plan, peers }, agent) => agent.probes.silent(plan.device, peers)),
  ),
  ripstop_peers_reduced_mtu: gauge(
    'Peers with a path MTU below the MTU of the underlay interface.',
    perOverlay(one => one.counters()?.loweredPaths ?? 0),
  ),
  ripstop_peers_unsegmented: gauge(
    'Peers to which datagrams leave one by one because trains of UDP_SEGMENT did not arrive.',
    perOverlay((one, agent) => agent.proofs.broken(one).length),
  ),
  ripstop_peer_sent_frames_total: counter('Frames sent to a peer.', perPeer('egress', 'frames')),
  ripstop_peer_sent_bytes_total: counter('Bytes sent to a peer.', perPeer('egress', 'bytes')),
  ripstop_peer_received_frames_total: counter('Frames received from a peer.', perPeer('ingress', 'frames')),
  ripstop_peer_received_bytes_total: counter('Bytes received from a peer.', perPeer('ingress', 'bytes')),
  ripstop_peer_loss_ratio: gauge(
    'Ratio of the last probes of a peer that had no answer, by path.',
    perPath(({ probes, lost }) => lost / probes),
  ),
  ripstop_peer_rtt_seconds: gauge(
    'Median round-trip time of the last probes of a peer, by path.',
    perPath(({ rttMs }) => (rttMs === null ? null : rttMs / 1000)),
  ),
  ripstop_queue_frames_total: counter(
    'Frames that the workers of a queue judged, from the device (egress) or from the underlay (ingress).',
    perQueue,
  ),
  ripstop_worker_batches_total: counter('Batches that the workers forwarded.', perWorker('batches')),
  ripstop_worker_wakeups_total: counter('Wake-ups of the workers.', perWorker('wakeups')),
  ripstop_worker_native_calls_total: counter(
    'Calls of the workers into the addon.',
    perWorker('nativeCalls'),
  ),
  ripstop_worker_offload_fallbacks_total: counter(
    'GSO packets that the kernel refused and that were sent segment by segment.',
    perWorker('fallbacks'),
  ),
  ripstop_worker_restarts_total: counter(
    'Restarts of workers that had ended.',
    perOverlay(one => one.counters()?.restarts ?? 0),
  ),
  ripstop_worker_lag_seconds: gauge(
    'Response time of the workers: the last one, and the maximum of the last minute.',
    workerLag,
  ),
  ripstop_event_loop_lag_seconds: gauge(
    "Delay of the agent's event loop since the last scrape; packets do not wait for it.",
    by('statistic', (_agent, lag) => Object.entries(lag.take())),
  ),
  ripstop_resident_memory_bytes: gauge(
    'Resident memory of the process.',
    single(() => process.memoryUsage.rss()),
  ),
};

export const METRICS: readonly Metric[] = Object.entries(TABLE).map(([name, row]) => ({ name, ...row }));

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

function countBy(words: readonly string[] = []): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
