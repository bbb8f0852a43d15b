import type { FlowsAnswer } from '../../../api/answers.ts';
import { formatCompact, formatDuration, formatLatency, formatShare } from '../../../base/text/quantity.ts';
import type { FlowCounts, FlowPeerRow, FlowRow } from '../../../capture/flows/flow-report.ts';
import { formatEndpoint } from '../../../ip/address.ts';
import { formatTable } from '../../terminal/table.ts';

/**
 * Formats an answer: a summary line, then a table that fits 80 columns with IPv4 pods.
 * @param rows maximum number of rows
 */
export function showFlows(
  answer: FlowsAnswer,
  { by, rows }: { readonly by: 'flow' | 'peer'; readonly rows: number },
): string {
  const table =
    by === 'peer' ? peerTable(answer.peers.slice(0, rows)) : flowTable(answer.flows.slice(0, rows));
  return `${summary(answer)}\n${table}`;
}

function summary({ overlays, total }: FlowsAnswer): string {
  const sum = (count: (table: (typeof overlays)[number]['table']) => number) =>
    overlays.reduce((total, { table }) => total + count(table), 0);
  const since = Math.min(...overlays.map(overlay => Date.parse(overlay.since)));
  const sampled = Math.min(...overlays.map(overlay => overlay.sampled));
  const evicted = sum(table => table.evicted.flows);
  const words = [
    `${total} flow${total === 1 ? '' : 's'}, counting for ${formatDuration(Date.now() - since)}`,
  ];
  if (evicted > 0) words.push(`${evicted} small flows evicted (table of ${sum(table => table.capacity)})`);
  if (sampled < 1) words.push(`${formatShare(sampled)} of the frames seen, counts are estimates`);
  return words.join('; ');
}

function flowTable(flows: readonly FlowRow[]): string {
  if (flows.length === 0) return 'no flow\n';
  return formatTable(
    ['  WHAT', 'SOURCE', 'DESTINATION', ' RATE', 'BYTES', 'DROPS', 'RETR', '   RTT'],
    flows.map(flow => [
      `${flow.direction === 'egress' ? '>' : '<'} ${flow.protocol}`,
      formatEndpoint(flow.source, flow.sourcePort),
      formatEndpoint(flow.destination, flow.destinationPort),
      ...amounts(flow),
    ]),
  );
}

function peerTable(peers: readonly FlowPeerRow[]): string {
  if (peers.length === 0) return 'no flow\n';
  const rows = peers.flatMap(peer =>
    (['egress', 'ingress'] as const).map(direction => [
      `${direction === 'egress' ? '>' : '<'} ${peer.peer ?? '-'}`,
      peer.peerAddress ?? '-',
      peer.flows,
      Math.round(peer[direction].packetRate),
      ...amounts(peer[direction]),
    ]),
  );
  return formatTable(
    ['  PEER', 'ADDRESS', 'FLOWS', 'PKT/S', ' RATE', 'BYTES', 'DROPS', 'RETR', '   RTT'],
    rows,
  );
}

function amounts({ bitRate, bytes, drops, retransmissions, rttMs }: FlowCounts): (string | number)[] {
  return [
    formatCompact(bitRate).padStart(5),
    formatCompact(bytes, 1024).padStart(5),
    drops,
    retransmissions,
    (rttMs === null ? '-' : formatLatency(rttMs)).padStart(6),
  ];
}
