import type { FlowStatus, FlowsAnswer } from '../../../api/answers.ts';
import { printable } from '../../../base/text/printable.ts';
import { formatCompact, formatDuration, formatLatency, formatShare } from '../../../base/text/quantity.ts';
import type { FlowCounts, FlowPeerRow } from '../../../capture/flows/flow-report.ts';
import { formatEndpoint } from '../../../ip/address.ts';
import { formatTable } from '../../terminal/table.ts';

interface Layout {
  readonly by: 'flow' | 'peer';
  /** Maximum number of rows. */
  readonly rows: number;
  /** Columns of the screen; without it a row is one line, however long. */
  readonly columns?: number;
}

/**
 * Formats an answer: a summary line, then a table that fits 80 columns with IPv4 pods. If it is wider than the screen, the
 * addresses go below the figures of their row.
 */
export function showFlows(
  answer: FlowsAnswer,
  { by, rows, columns = Number.POSITIVE_INFINITY }: Layout,
): string {
  const table =
    by === 'peer'
      ? peerTable(answer.peers.slice(0, rows), columns)
      : flowTable(answer.flows.slice(0, rows), columns);
  return `${summary(answer)}\n${table}`;
}

/** One row: what it is about, the addresses, the figures. */
type Row = readonly [what: string, addresses: readonly string[], figures: readonly (string | number)[]];

const INDENT = '    ';

function fitted(
  [what, addresses, figures]: [string, string[], string[]],
  rows: readonly Row[],
  columns: number,
) {
  const whole = formatTable(
    [what, ...addresses, ...figures],
    rows.map(row => row.flat()),
  );
  if (whole.split('\n').every(line => line.length <= columns)) return whole;
  const narrow = formatTable(
    [what, ...figures],
    rows.map(([first, , values]) => [first, ...values]),
  );
  const [titles, ...lines] = narrow.trimEnd().split('\n');
  const below = (row: Row | undefined): string[] => {
    const ends = (row?.[1] ?? []).map(address => printable(address));
    const line = `${INDENT}${ends.join(' > ')}`;
    return line.length <= columns ? [line] : ends.map(end => `${INDENT}${end}`);
  };
  return `${[titles, ...lines.flatMap((line, at) => [line, ...below(rows[at])])].join('\n')}\n`;
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

function flowTable(flows: readonly FlowStatus[], columns: number): string {
  if (flows.length === 0) return 'no flow\n';
  return fitted(
    ['  WHAT', ['SOURCE', 'DESTINATION'], [' RATE', 'BYTES', 'DROPS', 'RETR', '   RTT']],
    flows.map(flow => [
      `${flow.direction === 'egress' ? '>' : '<'} ${flow.protocol}`,
      [
        formatEndpoint(flow.sourcePod ?? flow.source, flow.sourcePort),
        formatEndpoint(flow.destinationPod ?? flow.destination, flow.destinationPort),
      ],
      amounts(flow),
    ]),
    columns,
  );
}

function peerTable(peers: readonly FlowPeerRow[], columns: number): string {
  if (peers.length === 0) return 'no flow\n';
  const rows = peers.flatMap(peer =>
    (['egress', 'ingress'] as const).map(
      (direction): Row => [
        `${direction === 'egress' ? '>' : '<'} ${peer.peer ?? '-'}`,
        [peer.peerAddress ?? '-'],
        [peer.flows, Math.round(peer[direction].packetRate), ...amounts(peer[direction])],
      ],
    ),
  );
  return fitted(
    ['  PEER', ['ADDRESS'], ['FLOWS', 'PKT/S', ' RATE', 'BYTES', 'DROPS', 'RETR', '   RTT']],
    rows,
    columns,
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
