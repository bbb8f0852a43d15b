import { VERDICTS } from '../../dataplane/dataplane.ts';
import { POINT_NAMES } from '../../dataplane/tap/tap.ts';
import { flowsOf } from '../flows.ts';
import type { DropView, FlowsView, Sample, View } from './messages.ts';
import type { PageSource } from './source.ts';

/** Flows of one answer; the page picks those of the peer that is looked at. */
const FLOWS = 60;

const DROPS = VERDICTS.filter(({ drop }) => drop);

/** What the page shows, as it stands now. Asking keeps the flow tables on. */
export function viewOf(source: PageSource, history: readonly Sample[]): View {
  return {
    ...source.identity(),
    now: Date.now(),
    peers: source.peers(),
    drops: dropsOf(source),
    history,
    flows: flowsViewOf(source),
    verdicts: DROPS.map(({ name }) => name),
    points: POINT_NAMES,
    captures: (source.watch().captures ?? []).map(({ device }) => device),
  };
}

function dropsOf(source: PageSource): DropView[] {
  const planes = source.counters();
  const sum = (name: string, field: 'frames' | 'bytes') =>
    planes.reduce((total, plane) => total + (plane.verdicts[name]?.[field] ?? 0), 0);
  return DROPS.map(({ name, meaning, remedy }) => ({
    reason: name,
    frames: sum(name, 'frames'),
    bytes: sum(name, 'bytes'),
    meaning,
    remedy,
  })).filter(({ frames }) => frames > 0);
}

function flowsViewOf(source: PageSource): FlowsView | null {
  const watched = source.watch().flows;
  if (watched.length === 0) return null;
  const { overlays, total, flows } = flowsOf(watched, { sort: 'rate', limit: FLOWS });
  return {
    total,
    sampled: Math.min(...overlays.map(({ sampled }) => sampled)),
    rows: flows.map(flow => ({
      direction: flow.direction,
      protocol: flow.protocol,
      source: withPort(flow.source, flow.sourcePort),
      destination: withPort(flow.destination, flow.destinationPort),
      peer: flow.peer,
      bitRate: flow.bitRate,
      drops: flow.drops,
      dropReason: flow.dropReason,
      retransmissions: flow.retransmissions,
      rttMs: flow.rttMs,
    })),
  };
}

/** `10.244.1.2:80`, `[fd00::1]:80`, or the address alone. */
function withPort(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
