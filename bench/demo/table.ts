import type { Compared, DemoReport, Pair } from './report.ts';

const WIDTH = 80;
const LABEL = 35;
const COLUMN = 15;

/** The report for a person: 80 columns, Ripstop and kernel VXLAN side by side. */
export function formatTable(report: DemoReport): string {
  const { mode, inner, underlay, condition, mtu, versions, machine, throughput, latency, packets, cpu } =
    report;
  const rule = '-'.repeat(WIDTH);
  const lines = [
    `Ripstop ${mode}, inner IPv${inner}, underlay IPv${underlay}, condition ${condition}, ${report.run} run`,
    rule,
    row('', 'Ripstop', 'kernel VXLAN', 'ratio'),
    rule,
    plain('MTU, bytes', mtu, value => `${value}`),
    plain('ping, answered', report.ping, p => `${p.received}/${p.sent}`),
    plain(`transfer of ${megabytes(report)}, SHA-256`, report.transfer, t => (t.intact ? 'same' : 'DIFFERS')),
    compared('TCP, 1 stream, Gbit/s', throughput, 2),
    compared('TCP, 4 streams, Gbit/s', throughput.parallel, 2),
    compared('TCP, 1 stream the way back, Gbit/s', throughput.reverse, 2),
    compared('CPU, s per GB (less is better)', cpu, 2),
    compared('round trip p50, us (less is better)', latency.p50, 1),
    compared('round trip p99, us (less is better)', latency.p99, 1),
    compared(`${packets.bytes}-byte packets a second`, packets, 0),
    plain('  of which lost on the way', packets.loss, loss => `${(loss * 100).toFixed(1)} %`),
    rule,
    `medians; ${throughput.congestion || 'cubic'}; both nodes and pods share ${machine.cores} cores, ${machine.processor}`.slice(
      0,
      WIDTH,
    ),
    `ripstop ${versions.ripstop} (${versions.commit ?? 'no commit'}), node ${versions.node}, kernel ${versions.kernel}`.slice(
      0,
      WIDTH,
    ),
  ];
  for (const error of report.errors) lines.push(`FAILED  ${error}`);
  lines.push(`${report.ok ? 'all of it worked' : 'not all of it worked'}, in ${report.seconds} s`);
  return lines.filter(line => line !== '').join('\n');
}

function megabytes({ transfer }: DemoReport): string {
  const bytes = (transfer.ripstop ?? transfer.kernel)?.bytes;
  return bytes === undefined ? 'a file' : `${bytes / 1e6} MB`;
}

function row(label: string, ripstop: string, kernel: string, ratio: string): string {
  return `${label.padEnd(LABEL)}${ripstop.padStart(COLUMN)}${kernel.padStart(COLUMN)}${ratio.padStart(WIDTH - LABEL - 2 * COLUMN)}`;
}

/** A row without a ratio; '' when neither side has it. */
function plain<T>(label: string, pair: Pair<T>, format: (value: T) => string): string {
  if (pair.ripstop === null && pair.kernel === null) return '';
  const cell = (value: T | null) => (value === null ? '-' : format(value));
  return row(label, cell(pair.ripstop), cell(pair.kernel), '');
}

function compared(label: string, pair: Compared, digits: number): string {
  if (pair.ripstop === null && pair.kernel === null) return '';
  const cell = (value: number | null) =>
    value === null
      ? '-'
      : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return row(label, cell(pair.ripstop), cell(pair.kernel), pair.ratio === null ? '-' : pair.ratio.toFixed(2));
}
