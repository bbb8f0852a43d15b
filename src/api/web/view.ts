import { VERDICTS } from '../../dataplane/dataplane.ts';
import { POINT_NAMES } from '../../dataplane/tap/record-layout.ts';
import { formatEndpoint } from '../../ip/address.ts';
import { flowsOf } from '../flows.ts';
import type { DropView, FlowsView, Sample, View } from './messages.ts';
import type { WebSource } from './source.ts';

/** Flows of one answer; the browser selects those of the chosen peer. */
const FLOWS = 60;

const DROPS = VERDICTS.filter(({ drop }) => drop);

/** The current data of the web UI. Each request keeps the flow tables on. */
export async function viewOf(source: WebSource, history: readonly Sample[]): Promise<View> {
  return {
    ...source.identity(),
    now: Date.now(),
    peers: source.peers(),
    drops: dropsOf(source),
    history,
    flows: flowsViewOf(source),
    verdicts: DROPS.map(({ name }) => name),
    points: POINT_NAMES,
    captures: source.debug().captures.map(({ device }) => device),
    recordings: await source.recordings.list(),
  };
}

function dropsOf(source: WebSource): DropView[] {
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

function flowsViewOf(source: WebSource): FlowsView | null {
  const debug = source.debug();
  if (debug.flows.length === 0) return null;
  const { overlays, total, flows } = flowsOf(debug, { sort: 'rate', limit: FLOWS });
  return {
    total,
    sampled: Math.min(...overlays.map(({ sampled }) => sampled)),
    rows: flows.map(flow => ({
      ...flow,
      source: formatEndpoint(flow.source, flow.sourcePort),
      destination: formatEndpoint(flow.destination, flow.destinationPort),
    })),
  };
}
