import { RipstopError } from '../base/errors.ts';
import { FlowMonitor } from '../capture/flows/flow-monitor.ts';
import { orderFlows } from '../capture/flows/flow-order.ts';
import type { FlowPeerRow, FlowReport, FlowRow } from '../capture/flows/flow-report.ts';
import type { DataPlane } from '../path/control.ts';

/** Answer of GET /flows. */
export interface FlowsAnswer {
  /** By overlay device: since when, how much was looked at, how full the table is. */
  readonly overlays: readonly (Omit<FlowReport, 'flows' | 'peers'> & { readonly device: string })[];
  /** Flows that there are; `flows` are the first of them. */
  readonly total: number;
  readonly flows: readonly FlowRow[];
  readonly peers: readonly FlowPeerRow[];
}

/** The flow table of one overlay. */
export interface WatchedOverlay {
  readonly device: string;
  readonly flows: FlowMonitor;
}

export interface FlowsQuery {
  /** See FLOW_ORDERS. */
  readonly sort: string;
  /** Flows to tell, 0 for all. */
  readonly limit: number;
}

const LIMIT = 100;

const monitors = new WeakMap<DataPlane, FlowMonitor>();

/** The one flow table of a data plane. */
export function monitorOf(plane: DataPlane): FlowMonitor {
  const monitor = monitors.get(plane) ?? new FlowMonitor(plane.watched);
  monitors.set(plane, monitor);
  return monitor;
}

/**
 * What the flow tables say now. Asking turns them on, and for a quarter of a minute they stay on; the first answer is
 * empty.
 * @throws RipstopError ECAPTURE where the kernel carries the packets, ECONFIG
 */
export function flowsOf(overlays: readonly WatchedOverlay[], { sort, limit }: FlowsQuery): FlowsAnswer {
  if (overlays.length === 0)
    throw new RipstopError(
      'ECAPTURE',
      'the kernel carries the packets of this node',
      'look at its flows with `conntrack -L` or tcpdump',
    );
  const reports = overlays.map(({ device, flows }) => ({ device, ...flows.report(device) }));
  const rows = orderFlows(
    reports.flatMap(report => report.flows),
    sort,
  );
  return {
    overlays: reports.map(({ flows: _flows, peers: _peers, ...overlay }) => overlay),
    total: rows.length,
    flows: limit === 0 ? rows : rows.slice(0, limit),
    peers: reports.flatMap(report => report.peers),
  };
}

/** The query of `GET /flows?sort=rate&limit=100`. @throws RipstopError ECONFIG */
export function readFlowsQuery(query: URLSearchParams): FlowsQuery {
  const limit = query.get('limit') ?? String(LIMIT);
  if (!/^\d{1,6}$/.test(limit))
    throw new RipstopError('ECONFIG', `limit "${limit}" is no whole number`, '0 tells all flows');
  return { sort: query.get('sort') ?? 'rate', limit: Number(limit) };
}
