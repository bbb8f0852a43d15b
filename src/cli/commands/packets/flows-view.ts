import type { FlowsAnswer } from '../../../api/flows.ts';
import type { FlowCounts, FlowPeerRow, FlowRow } from '../../../capture/flows/flow-report.ts';
import { formatDuration, formatTable } from '../../terminal/table.ts';

/** What is shown of an answer. */
export interface FlowsPage {
  readonly by: 'flow' | 'peer';
  /** Rows at most. */
  readonly rows: number;
}

/** The answer as text: a line about what was looked at, then a table that fits 80 columns with pods of IPv4. */
export function showFlows(answer: FlowsAnswer, { by, rows }: FlowsPage): string {
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
  if (sampled < 1) words.push(`${percent(sampled)} of the frames seen, counts are estimates`);
  return words.join('; ');
}

/** Not 100 % while anything is missing. */
function percent(part: number): string {
  return part >= 0.1 ? `${Math.floor(part * 100)} %` : `${(part * 100).toPrecision(2)} %`;
}

function flowTable(flows: readonly FlowRow[]): string {
  if (flows.length === 0) return 'no flow\n';
  return formatTable(
    ['  WHAT', 'SOURCE', 'DESTINATION', ' RATE', 'BYTES', 'DROPS', 'RETR', '   RTT'],
    flows.map(flow => [
      `${flow.direction === 'egress' ? '>' : '<'} ${flow.protocol}`,
      endpoint(flow.source, flow.sourcePort),
      endpoint(flow.destination, flow.destinationPort),
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
    scaled(bitRate, 1000).padStart(5),
    scaled(bytes, 1024).padStart(5),
    drops,
    retransmissions,
    (rttMs === null ? '-' : formatMs(rttMs)).padStart(6),
  ];
}

function endpoint(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** A number in at most five characters: three digits that count and a letter. */
export function scaled(value: number, step: 1000 | 1024): string {
  const letters = ['', 'k', 'M', 'G', 'T', 'P'];
  let rest = value;
  let unit = 0;
  for (; rest >= 999.5 && unit < letters.length - 1; unit++) rest /= step;
  if (unit === 0) return String(Math.round(rest));
  return `${rest < 9.995 ? rest.toFixed(2) : rest < 99.95 ? rest.toFixed(1) : rest.toFixed(0)}${letters[unit]}`;
}

/** Milliseconds for people, in at most six characters. */
export function formatMs(ms: number): string {
  if (ms < 0.9995) return `${Math.round(ms * 1000)}us`;
  const [value, unit] = ms < 999.5 ? [ms, 'ms'] : [ms / 1000, 's'];
  return `${value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0)}${unit}`;
}
