import type { Answer } from '../../../api/answers.ts';
import { answerOf, type ReportPath } from '../../../api/report/files.ts';
import { RipstopError } from '../../../base/errors.ts';
import { printable } from '../../../base/text/printable.ts';
import type { ReplayConfig } from '../../../capture/replay/config.ts';
import { openReport, type Report } from '../../../diagnose/report/bundle.ts';
import { planeRecordOf, traceNodeOf } from '../../../diagnose/report/node-record.ts';
import { recordedState } from '../../../diagnose/report/recorded-state.ts';
import type { TraceAnswer, TraceRequest } from '../../../diagnose/trace/answer.ts';
import { KernelLookup } from '../../../diagnose/trace/kernel/kernel-lookup.ts';
import { tracePacket } from '../../../diagnose/trace/trace.ts';
import { requirePrefix } from '../../../ip/prefix.ts';
import type { Output } from '../../json/print.ts';

/**
 * Opens a report, and prints that the output is not of this machine and time: above it, or on standard error where the output is
 * for programs.
 * @throws RipstopError EREPORT; errors of the file system
 */
export function openShown(file: string, output: Output | undefined): Report {
  const report = openReport(file);
  const { createdAt, version, pseudonyms } = report.manifest;
  const what = `from the report ${file} of ${createdAt} (ripstop ${version}${pseudonyms ? ', pseudonyms' : ''})`;
  (output ? process.stderr : process.stdout).write(`${printable(what)}\n`);
  return report;
}

/** The answer that the agent of a report gave. @throws as `openShown` */
export function answerFrom<P extends ReportPath>(
  file: string,
  path: P,
  output: Output | undefined,
): Answer<P> {
  return answerOf(openShown(file, output), path);
}

/** The pods of the node of a report. @param isNeeded false: a report without them has none @throws RipstopError EREPORT */
export function podsFrom(report: Report, isNeeded: boolean): Answer<'/pods'> {
  try {
    return answerOf(report, '/pods');
  } catch (error) {
    if (isNeeded) throw error;
    return [];
  }
}

/** Traces a packet on the node of a report. @throws RipstopError EREPORT, ECONFIG for a packet that cannot be */
export async function traceFrom(report: Report, request: TraceRequest): Promise<TraceAnswer> {
  return tracePacket(traceNodeOf(nodeOf(report)), new KernelLookup(recordedState(report)), request);
}

/**
 * The forwarder of a node in a report.
 * @param address own underlay address of the overlay; by default the first overlay in user space
 * @throws RipstopError EREPORT
 */
export function replayConfigOf(report: Report, address: string | undefined): ReplayConfig {
  const { overlays } = nodeOf(report);
  for (const overlay of overlays) {
    const plane = planeRecordOf(overlay);
    if (!plane || (address ?? overlay.address) !== overlay.address) continue;
    const { subnets, networks } = overlay;
    return { ...plane, subnets: subnets.map(requirePrefix), networks: networks.map(requirePrefix) };
  }
  throw new RipstopError(
    'EREPORT',
    `the node of the report has no data plane in user space${address === undefined ? '' : ` with the address ${address}`}`,
    '`ripstop status --from` shows its overlays',
  );
}

function nodeOf(report: Report) {
  const node = answerOf(report, '/node');
  if (node) return node;
  throw new RipstopError('EREPORT', 'the agent of the report had no overlay');
}
