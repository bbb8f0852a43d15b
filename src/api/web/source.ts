import type { Agent } from '../../agent/agent.ts';
import type { PeerHealth } from '../../agent/probe/probe-window.ts';
import type { Recordings } from '../../agent/recorder/recordings.ts';
import type { CounterSnapshot } from '../../dataplane/dataplane.ts';
import type { DebugApi } from '../routes.ts';
import { debugApiOf } from '../server.ts';
import { peersOf, statusOf } from '../status.ts';
import type { OverlayView, PeerView, ProbeView, View } from './messages.ts';

/** The data of a node for the web UI. */
export interface WebSource {
  identity(): Pick<View, 'node' | 'version' | 'ready' | 'reasons'> & { readonly overlays: OverlayView[] };
  peers(): PeerView[];
  /** Counters of every data plane of this process. */
  counters(): CounterSnapshot[];
  debug(): DebugApi;
  /** Files of the flight recorder. */
  readonly recordings: Pick<Recordings, 'list' | 'find'>;
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
      peersOf(agent).map(({ node, traffic, health, ...peer }) => ({
        ...peer,
        name: node ?? peer.id,
        sent: traffic?.egress ?? null,
        received: traffic?.ingress ?? null,
        probe: health && probeOf(health),
      })),
    counters: () => overlays().flatMap(overlay => overlay.counters() ?? []),
    debug: () => debugApiOf(agent),
    recordings: agent.recorder.recordings,
  };
}

/** The probes through the tunnel if there is one, otherwise over the underlay. */
function probeOf({ tunnel, underlay }: PeerHealth): ProbeView {
  const { lost, probes, rttMs } = tunnel ?? underlay;
  return {
    loss: probes > 0 ? lost / probes : 0,
    rttMs,
    besideTunnel: tunnel && underlay.probes > 0 ? underlay.lost / underlay.probes : null,
  };
}
