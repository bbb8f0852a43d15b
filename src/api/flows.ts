import type { ServerResponse } from 'node:http';
import { contain } from '../base/boundary.ts';
import { RipstopError } from '../base/errors.ts';
import type { FlowRecord } from '../capture/flows/flow-log.ts';
import type { FlowMonitor } from '../capture/flows/flow-monitor.ts';
import { orderFlows } from '../capture/flows/flow-order.ts';
import type { PodLookup } from '../capture/live/pods.ts';
import type { FlowsAnswer } from './answers.ts';
import { sendError } from './listener.ts';

/** What flows need of a node; no monitors where the kernel carries the packets. */
export interface FlowsApi {
  readonly flows: readonly FlowMonitor[];
  readonly pods: { readonly names: PodLookup };
}

export interface FlowsQuery {
  /** See FLOW_ORDERS. */
  readonly sort: string;
  /** Number of flows, 0 for all. */
  readonly limit: number;
}

const LIMIT = 100;
/** Bytes that may wait for a reader of the log before lines are left out. */
const WAITING_MAX = 1 << 20;

/**
 * The present content of the flow tables. A request turns them on for 15 seconds; the first answer is empty.
 * @throws RipstopError ECAPTURE where the kernel carries the packets, ECONFIG
 */
export function flowsOf({ flows: overlays, pods }: FlowsApi, { sort, limit }: FlowsQuery): FlowsAnswer {
  if (overlays.length === 0) throw carriedByKernel();
  const reports = overlays.map(overlay => overlay.report());
  const rows = orderFlows(
    reports.flatMap(report => report.flows),
    sort,
  );
  return {
    overlays: reports.map(({ flows: _flows, peers: _peers, ...overlay }) => overlay),
    total: rows.length,
    flows: (limit === 0 ? rows : rows.slice(0, limit)).map(row => ({
      ...row,
      sourcePod: pods.names.at(row.source, Date.parse(row.last)),
      destinationPod: pods.names.at(row.destination, Date.parse(row.last)),
    })),
    peers: reports.flatMap(report => report.peers),
  };
}

/** The query of `GET /flows?sort=rate&limit=100`. @throws RipstopError ECONFIG */
export function readFlowsQuery(query: URLSearchParams): FlowsQuery {
  const limit = query.get('limit') ?? String(LIMIT);
  if (!/^\d{1,6}$/.test(limit))
    throw new RipstopError('ECONFIG', `limit "${limit}" is not a whole number`, '0 means all flows');
  return { sort: query.get('sort') ?? 'rate', limit: Number(limit) };
}

/**
 * Answers GET /flows/log: one JSON object per line (`capture/flows/flow-log.ts`) until the caller hangs up or a data
 * plane ends, and the flow tables stay on as long. A reader that is too slow loses lines; the next one says how many.
 */
export function answerFlowLog(response: ServerResponse, { flows: overlays, pods }: FlowsApi): void {
  if (overlays.length === 0) {
    sendError(response, carriedByKernel());
    return;
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  let lostRecords = 0;
  const hangUp = () => {
    for (const end of ends) end();
    response.end();
  };
  const ends = overlays.map(overlay =>
    overlay.follow(record => {
      if (response.writableLength > WAITING_MAX) {
        lostRecords++;
        return;
      }
      const lost = lostRecords + (record.lostRecords ?? 0);
      lostRecords = 0;
      const line = { ...record, ...podsOf(record, pods), ...(lost > 0 ? { lostRecords: lost } : {}) };
      contain('flows', () => response.write(`${JSON.stringify(line)}\n`));
    }, hangUp),
  );
  response.on('close', hangUp);
}

/** Names of the pods that had the addresses at the time of the last packet. */
function podsOf(record: FlowRecord, { names }: FlowsApi['pods']) {
  const nameAt = (address = '') =>
    names.at(address, Date.parse(record.flowEndMilliseconds))?.split('/') ?? [];
  const [sourcePodNamespace, sourcePodName] = nameAt(record.sourceIPv4Address ?? record.sourceIPv6Address);
  const [destinationPodNamespace, destinationPodName] = nameAt(
    record.destinationIPv4Address ?? record.destinationIPv6Address,
  );
  return { sourcePodNamespace, sourcePodName, destinationPodNamespace, destinationPodName };
}

function carriedByKernel(): RipstopError {
  return new RipstopError(
    'ECAPTURE',
    'the kernel carries the packets of this node',
    'look at its flows with `conntrack -L` or tcpdump',
  );
}
