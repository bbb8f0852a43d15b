import { formatBitRate, formatLatency, formatRate } from '../../../base/text/quantity.ts';
import type { LatencyFigures, StreamReport } from '../../../measure/stream/report.ts';
import { formatTable } from '../../terminal/table.ts';

type Rates = Pick<StreamReport['sent'], 'packets' | 'seconds' | 'packetsPerSecond' | 'bitsPerSecond'>;

/** A stream for a person. */
export function blastText(report: StreamReport): string {
  const { sent, received, notes, limit } = report;
  const lines = [heading(report), '', ...rateTable(sent, received)];
  if (received) lines.push('', ...countLines(received));
  lines.push('', ...latencyLines(report));
  if (limit !== null) lines.push('', `This generator sends at most ${formatRate(limit)} of these packets.`);
  if (notes.length > 0) lines.push('', ...notes.map(note => `! ${note}`));
  return `${lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`;
}

function heading({ peer, medium, device, sizes, flows, gso, ended }: StreamReport): string {
  const [min = 0, max = 0] = sizes;
  const size = min === max ? `${max} bytes` : `${min} to ${max} bytes`;
  const how = [
    device === null ? medium : `${medium} ${device}`,
    size,
    `${flows} flow${flows === 1 ? '' : 's'}`,
    ...(gso ? ['GSO'] : []),
    ...(ended === 'complete' ? [] : [ended]),
  ];
  return `${peer}: ${how.join(', ')}`;
}

function rateTable(sent: Rates, received: Rates | null): string[] {
  const row = (name: string, { packets, seconds, packetsPerSecond, bitsPerSecond }: Rates) => [
    name,
    packets,
    `${seconds.toFixed(3)} s`,
    formatRate(packetsPerSecond),
    formatBitRate(bitsPerSecond),
  ];
  const rows = [row('sent', sent), ...(received ? [row('received', received)] : [])];
  return formatTable(['', 'packets', 'time', 'packets/s', 'bits/s'], rows).trimEnd().split('\n');
}

function countLines(received: NonNullable<StreamReport['received']>): string[] {
  const { lost, lostPercent, duplicates, reordered, reorderedPercent, reorderDistance, jitterUs } = received;
  const behind = reordered > 0 ? `, at most ${reorderDistance} behind` : '';
  return [
    `lost        ${lost} (${lostPercent} %)`,
    `duplicated  ${duplicates}`,
    `reordered   ${reordered} (${reorderedPercent} %)${behind}`,
    `jitter      ${formatLatency(jitterUs / 1000)}`,
  ];
}

function latencyLines({ received, roundTrip }: StreamReport): string[] {
  const rows: string[][] = [];
  const oneWay = received?.oneWay;
  if (oneWay) rows.push(latencyRow('one way', oneWay.latency));
  if (roundTrip) rows.push(latencyRow('round trip', roundTrip));
  if (rows.length === 0) return [];
  const titles = ['', 'min', 'p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max'];
  const lines = formatTable(titles, rows).trimEnd().split('\n');
  if (!oneWay) return lines;
  const error = formatLatency(oneWay.errorUs / 1000);
  const clocks =
    oneWay.clock === 'same'
      ? `Sender and sink have one clock; one way to within ${error}.`
      : `The clock of the sink is ahead by ${formatLatency(oneWay.offsetUs / 1000)}; one way to within ${error}.`;
  return [...lines, clocks];
}

function latencyRow(name: string, figures: LatencyFigures): string[] {
  const { minUs, p50Us, p90Us, p99Us, p999Us, p9999Us, maxUs } = figures;
  return [name, ...[minUs, p50Us, p90Us, p99Us, p999Us, p9999Us, maxUs].map(us => formatLatency(us / 1000))];
}
