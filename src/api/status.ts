import type { Agent } from '../agent/agent.ts';
import { describeChange, describeConnected } from '../agent/kernel/change.ts';
import { isSameLease, type Lease } from '../agent/lease/lease.ts';
import type { KeptLeases } from '../agent/lease/store.ts';
import type { Overlay } from '../agent/overlay/overlay.ts';
import type { PeerHealth } from '../agent/probe/peer-monitor.ts';
import type { PeerCount } from '../dataplane/descriptor/read-counters.ts';
import { leaseLines, leasePicture } from '../diagnose/doctor/lease-faults.ts';
import { formatPrefix } from '../ip/prefix.ts';
import { type RefusedSysctl, refusedSysctls } from '../net/sysctl.ts';
import { type SettingStatus, settingsOf } from './settings.ts';

const STUCK_MS = 10_000;

/** Answers of the agent's socket, as JSON. Bytes, milliseconds and wall-clock times as ISO text. */
export interface Status {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly node: string;
  readonly pid: number;
  readonly version: string;
  readonly startedAt: string;
  readonly store: {
    readonly kind: string;
    readonly location: string;
    readonly downSince: string | null;
    readonly borrowed: boolean;
    /** The store came back without leases that were known: how many are kept, until when, and what showed it. */
    readonly kept: { readonly leases: number; readonly until: string; readonly why: string } | null;
  };
  readonly lease: {
    readonly key: string;
    readonly subnets: readonly string[];
    readonly endsInMs: number | null;
  } | null;
  readonly underlay: {
    readonly name: string;
    readonly mtu: number;
    readonly addresses: readonly string[];
    readonly published: readonly string[];
  } | null;
  readonly overlays: readonly OverlayStatus[];
  /** Null while there is no overlay, and where the agent maintains no rules. */
  readonly rules: { readonly tool: string; readonly repaired: number } | null;
  readonly settings: readonly SettingStatus[];
  /** Parts of the node and writes to the store that do not hold at the moment; each is tried again. */
  readonly failing: readonly { readonly part: string; readonly reason: string }[];
  readonly repairs: Readonly<Record<string, number>>;
  readonly failedRepairs: number;
  readonly networkStarts: number;
  readonly leases: number;
  /** Listeners beside the data plane; `problem`: why one is not open. */
  readonly endpoints: readonly {
    readonly name: string;
    readonly location: string;
    readonly problem: string | null;
  }[];
  /** The last uncaught error that ended an agent on this node, and how many there were. */
  readonly uncaught: { readonly count: number; readonly at: string; readonly message: string } | null;
  readonly rejected: readonly { readonly key: string; readonly reason: string; readonly message: string }[];
  /** Kernel settings that traffic does not depend on and that this process may not write. */
  readonly refusedSysctls: readonly RefusedSysctl[];
}

export interface OverlayStatus {
  readonly mode: string;
  readonly device: string | null;
  readonly dataPlane: 'userspace' | 'kernel';
  readonly mtu: number;
  readonly mac: string | null;
  readonly address: string;
  readonly subnets: readonly string[];
  readonly peers: number;
  /** Peers that did not answer the last probes. */
  readonly silentPeers: number;
  readonly workerRestarts: number;
  /** The longest time of the last minute until a worker noticed something; null where the kernel carries the packets. */
  readonly workerLagMs: number | null;
  readonly rebuilt: number;
  readonly offloads: Readonly<Record<string, string>> | null;
}

export interface PeerStatus {
  readonly id: string;
  readonly node: string | null;
  readonly device: string | null;
  readonly address: string;
  readonly mac: string | null;
  readonly subnets: readonly string[];
  readonly direct: boolean;
  /** Inner checksums stay open between the two nodes. */
  readonly remoteChecksum: boolean;
  /** What the probes of late found; null before the first one, and where they are switched off. */
  readonly health: PeerHealth | null;
  /** Null where the kernel carries the packets and counts none a peer. */
  readonly traffic: PeerCount | null;
}

export interface RouteStatus {
  readonly destination: string;
  readonly via: string | null;
  readonly device: string | null;
}

export interface LeaseStatus {
  readonly key: string;
  readonly subnets: readonly string[];
  readonly node: string | null;
  readonly publicIp: string | null;
  readonly publicIpv6: string | null;
  readonly backend: string;
  readonly own: boolean;
  /** ISO time; `never` for a reservation; null: only the store knows. */
  readonly ends: string | null;
}

export function statusOf(agent: Agent, version: string, startedAt: Date): Status {
  const { network, store, options } = agent;
  const inputs = network?.inputs;
  return {
    ready: agent.readiness.isReady,
    reasons: agent.readiness.reasons(),
    node: options.nodeName,
    pid: process.pid,
    version,
    startedAt: startedAt.toISOString(),
    store: {
      kind: store.kind,
      location: store.location,
      downSince: agent.watch.downSince === undefined ? null : new Date(agent.watch.downSince).toISOString(),
      borrowed: agent.source.isProvisional,
      kept: keptOf(agent.watch.kept),
    },
    lease: inputs
      ? { key: inputs.lease.key, subnets: subnetsOf(inputs.lease), endsInMs: agent.lease.leftMs ?? null }
      : null,
    underlay: inputs
      ? {
          name: inputs.underlay.name,
          mtu: inputs.underlay.mtu,
          addresses: texts(inputs.underlay.address4, inputs.underlay.address6),
          published: texts(inputs.underlay.public4, inputs.underlay.public6),
        }
      : null,
    overlays: network?.overlays.map(overlay => overlayStatus(agent, overlay)) ?? [],
    endpoints: agent.endpoints.states.map(({ name, location, problem }) => ({
      name,
      location,
      problem: problem ?? null,
    })),
    uncaught: agent.uncaught.last && {
      count: agent.uncaught.count,
      ...agent.uncaught.last,
    },
    rules: network && options.rules ? { tool: network.rules.tool, repaired: agent.repairs.rules } : null,
    settings: settingsOf(agent),
    failing: [...agent.failing].map(([part, reason]) => ({ part, reason })),
    repairs: Object.fromEntries(agent.repairs.steps),
    failedRepairs: agent.repairs.failures,
    networkStarts: agent.networkStarts,
    leases: agent.watch.leases?.size ?? 0,
    rejected: network?.rejected ?? [],
    refusedSysctls: refusedSysctls(),
  };
}

function keptOf(kept: KeptLeases | undefined): Status['store']['kept'] {
  return kept ? { leases: kept.keys.length, until: new Date(kept.until).toISOString(), why: kept.why } : null;
}

function overlayStatus(agent: Agent, overlay: Overlay): OverlayStatus {
  const { plan, peers } = overlay;
  const counters = overlay.counters();
  return {
    mode: plan.mode,
    device: plan.device ?? null,
    dataPlane: overlay.isUserspace ? 'userspace' : 'kernel',
    mtu: plan.mtu,
    mac: plan.mac ?? null,
    address: plan.address,
    subnets: plan.subnets,
    peers: peers.length,
    silentPeers: agent.probes.silent(plan.device, peers),
    workerRestarts: counters?.restarts ?? 0,
    workerLagMs: counters ? Math.max(counters.lag.egress.maxMs, counters.lag.ingress.maxMs) : null,
    rebuilt: overlay.rebuilt,
    offloads: overlay.offloads ?? null,
  };
}

/** The worker that has not answered for so long that it never will; undefined when all is well. */
export function stuckWorker(agent: Agent): string | undefined {
  for (const overlay of agent.network?.overlays ?? []) {
    const lag = overlay.counters()?.lag;
    for (const way of ['egress', 'ingress'] as const)
      if (lag && lag[way].lastMs > STUCK_MS)
        return `${overlay.plan.device}: the ${way} worker has not answered for ${Math.round(lag[way].lastMs / 1000)} s`;
  }
  return undefined;
}

export function peersOf(agent: Agent): PeerStatus[] {
  return (agent.network?.overlays ?? []).flatMap(overlay => {
    const counters = overlay.counters();
    return overlay.peers.map(peer => ({
      id: peer.id,
      node: peer.node?.split('/')[0] ?? null,
      device: overlay.plan.device ?? null,
      address: peer.address,
      mac: peer.mac ?? null,
      subnets: peer.subnets.map(formatPrefix),
      direct: peer.direct ?? false,
      remoteChecksum: peer.remoteChecksum ?? false,
      health: agent.probes.of(overlay.plan.device, peer) ?? null,
      traffic: counters?.peers[peer.id] ?? null,
    }));
  });
}

export function routesOf(agent: Agent): RouteStatus[] {
  return (agent.network?.overlays ?? []).flatMap(overlay =>
    overlay.desired().routes.map(route => ({
      destination: route.destination,
      via: route.gateway ?? null,
      device: route.device ?? null,
    })),
  );
}

export function leasesOf(agent: Agent): LeaseStatus[] {
  const own = agent.network?.inputs.lease;
  return [...(agent.watch.leases?.values() ?? [])].map(lease => ({
    key: lease.key,
    subnets: subnetsOf(lease),
    node: lease.node?.split('/')[0] ?? null,
    publicIp: lease.attributes.publicIp ?? null,
    publicIpv6: lease.attributes.publicIpv6 ?? null,
    backend: lease.attributes.backendType || 'udp',
    own: own !== undefined && isSameLease(lease, own),
    ends:
      lease.expiresAt === undefined
        ? null
        : lease.expiresAt === 0
          ? 'never'
          : new Date(lease.expiresAt).toISOString(),
  }));
}

/** What the next comparison would change, one line per step. */
export function pendingChanges(agent: Agent): string[] {
  const picture = leasePicture(agent);
  const overlays = agent.network?.overlays ?? [];
  return [
    ...(picture ? leaseLines(picture) : []),
    ...overlays.flatMap(overlay => overlay.connected().map(describeConnected)),
    ...overlays.flatMap(overlay => overlay.pending().map(describeChange)),
  ];
}

export function subnetsOf({ v4, v6 }: Lease): string[] {
  return [v4, v6].filter(cidr => cidr !== undefined).map(formatPrefix);
}

function texts(...values: (string | undefined)[]): string[] {
  return values.filter(value => value !== undefined);
}
