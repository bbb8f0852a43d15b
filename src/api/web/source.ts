import type { Agent } from '../../agent/agent.ts';
import type { OverlayNode } from '../../agent/node/node.ts';
import type { PeerHealth } from '../../agent/probe/peer-monitor.ts';
import type { CounterSnapshot } from '../../dataplane/dataplane.ts';
import { nodeWatch } from '../node-server.ts';
import type { DebugApi } from '../routes.ts';
import { debugApiOf } from '../server.ts';
import { peersOf, statusOf } from '../status.ts';
import type { OverlayView, PeerView, ProbeView, View } from './messages.ts';

/** The data of a node that the web UI shows: of an agent or of `ripstop run`. */
export interface WebSource {
  identity(): Pick<View, 'node' | 'version' | 'ready' | 'reasons'> & { readonly overlays: OverlayView[] };
  peers(): PeerView[];
  /** Of every data plane that runs in this process. */
  counters(): CounterSnapshot[];
  debug(): DebugApi;
}

export function agentSource(agent: Agent, version: string): WebSource {
  const startedAt = new Date();
  const overlays = () => agent.network?.overlays ?? [];
  return {
    identity: () => {
      const { node, ready, reasons, overlays } = statusOf(agent, version, startedAt);
      return { node, version, ready, reasons, overlays: [...overlays] };
    },
    peers: () =>
      peersOf(agent).map(({ id, node, address, device, subnets, direct, traffic, health }) => ({
        id,
        name: node ?? id,
        address,
        device,
        subnets,
        direct,
        sent: traffic?.egress ?? null,
        received: traffic?.ingress ?? null,
        probe: health && probeOf(health),
      })),
    counters: () => overlays().flatMap(overlay => overlay.counters() ?? []),
    debug: () => debugApiOf(agent),
  };
}

export function nodeSource(node: OverlayNode, name: string, version: string): WebSource {
  return {
    identity: () => {
      const { config, overlay, underlay } = node.settled;
      const { mode, device, mtu, subnets } = overlay;
      return {
        node: name,
        version,
        ready: true,
        reasons: [],
        overlays: [
          {
            mode,
            device: device ?? config.device,
            dataPlane: 'userspace',
            mtu,
            address: underlay.address,
            subnets,
          },
        ],
      };
    },
    peers: () => {
      const tallies = node.counters().peers;
      return node.settled.config.peers.map(({ id, address, subnets }) => ({
        id,
        name: id,
        address,
        device: node.settled.config.device,
        subnets,
        direct: false,
        sent: tallies[id]?.egress ?? null,
        received: tallies[id]?.ingress ?? null,
        probe: null,
      }));
    },
    counters: () => [node.counters()],
    debug: () => nodeWatch(node),
  };
}

/** By the tunnel where there is one. */
function probeOf({ tunnel, underlay }: PeerHealth): ProbeView {
  const { lost, probes, rttMs } = tunnel ?? underlay;
  return {
    loss: probes > 0 ? lost / probes : 0,
    rttMs,
    besideTunnel: tunnel && underlay.probes > 0 ? underlay.lost / underlay.probes : null,
  };
}
