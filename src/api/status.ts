import type { Agent } from '../agent/agent.ts';
import { failingOf, failingWrites } from '../agent/faults.ts';
import { describeChange, describeConnected } from '../agent/kernel/change.ts';
import { isOwnFormat } from '../agent/lease/backend-data.ts';
import { isReservation, type Lease } from '../agent/lease/lease.ts';
import type { KeptLeases } from '../agent/lease/store.ts';
import type { Overlay } from '../agent/overlay/overlay.ts';
import { leaseLines, leasePicture } from '../diagnose/doctor/lease-faults.ts';
import { formatPrefix } from '../ip/prefix.ts';
import { refusedSysctls } from '../net/sysctl.ts';
import type { LeaseStatus, OverlayStatus, PeerStatus, RouteStatus, Status } from './answers.ts';
import { recorderStatus } from './recorder/state.ts';

const STUCK_MS = 10_000;

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
      failingWrites: [...failingWrites(agent)].map(([what, reason]) => `${what}: ${reason}`),
      lacking: store.lacking ?? [],
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
    settings: inputs?.settings.list() ?? [],
    waiting: agent.faults.waiting ?? null,
    failing: [...failingOf(agent)].map(([part, reason]) => ({ part, reason })),
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
    queues: counters?.queues ?? null,
    workerRestarts: counters?.restarts ?? 0,
    workerLagMs: counters ? Math.max(counters.lag.egress.maxMs, counters.lag.ingress.maxMs) : null,
    rebuilt: overlay.rebuilt,
    offloads: overlay.plane?.offloads ?? null,
    recorder: recorderStatus(overlay) ?? null,
  };
}

/** The worker that has not responded for 10 s; undefined when all respond. */
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
      agent: agentOf(agent, agent.watch.leases?.get(peer.id)),
      device: overlay.plan.device ?? null,
      address: peer.address,
      mac: peer.mac ?? null,
      subnets: peer.subnets.map(formatPrefix),
      direct: peer.direct ?? false,
      remoteChecksum: peer.remoteChecksum ?? false,
      segmentation: agent.proofs.of(overlay, peer) ?? null,
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
  const isUdp = agent.network?.inputs.config.backend.type === 'udp';
  return [...(agent.watch.leases?.values() ?? [])].map(lease => ({
    key: lease.key,
    subnets: subnetsOf(lease),
    node: lease.node?.split('/')[0] ?? null,
    agent: agentOf(agent, lease),
    publicIp: lease.attributes.publicIp ?? null,
    publicIpv6: lease.attributes.publicIpv6 ?? null,
    backend: isReservation(lease) && !isUdp ? 'reserved' : lease.attributes.backendType || 'udp',
    own: lease.key === own?.key,
    ends:
      lease.expiresAt === undefined
        ? null
        : lease.expiresAt === 0
          ? 'never'
          : new Date(lease.expiresAt).toISOString(),
  }));
}

/** Which agent wrote a lease, where this shows: in etcd and in files, only Ripstop writes the names of nodes. */
function agentOf({ store }: Agent, lease: Lease | undefined): PeerStatus['agent'] {
  if (!lease || (store.kind !== 'etcd' && store.kind !== 'file')) return null;
  const { backendData, backendV6Data } = lease.attributes;
  if (lease.node !== undefined || isOwnFormat(backendData) || isOwnFormat(backendV6Data)) return 'ripstop';
  return isReservation(lease) ? null : 'flannel';
}

/** Changes of the next comparison with the kernel, one line per step. */
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
