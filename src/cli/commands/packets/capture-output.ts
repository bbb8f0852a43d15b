import { elementAt } from '../../../base/at.ts';
import { RipstopError } from '../../../base/errors.ts';
import { printable } from '../../../base/text/printable.ts';
import { formatLatency } from '../../../base/text/quantity.ts';
import { packetRow } from '../../../capture/decode/packet-row.ts';
import type { CaptureInterface } from '../../../capture/format/packet.ts';
import type { CaptureContext } from '../../../capture/live/context.ts';
import { CaptureCounts, type CaptureRun, runCapture } from '../../../capture/run.ts';
import { LineSink, packetLine } from '../../../capture/sink/line-sink.ts';
import { captureFormat, decodeAs, formatOf, openSink } from '../../../capture/sink/open-sink.ts';
import type { CaptureSink } from '../../../capture/sink/sink.ts';
import { TimeOrder } from '../../../capture/time-order.ts';
import { KEPT_SNAP } from '../../../dataplane/tap/kept-record.ts';
import { native } from '../../../native/load.ts';
import { rowText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';

export interface CaptureOptions extends OutputOptions {
  readonly write?: string;
  readonly format?: 'pcapng' | 'pcap';
  readonly pod?: string[];
  readonly point?: string[];
  readonly device?: string;
  readonly peer?: string;
  readonly vni?: number;
  readonly verdict?: string[];
  readonly outer?: string;
  readonly snapLength?: number;
  readonly segments?: true;
  readonly count?: number;
  readonly duration?: number;
  readonly past?: number;
  readonly rotateSize?: number;
  readonly rotateTime?: number;
  readonly keep?: number;
  readonly socket: string;
}

/** Bytes that hold all headers of a datagram and of its inner frame. A printed line shows no more. */
const SNAP_FOR_LINES = 256;
/** With fewer bytes, the TCP header inside VXLAN over IPv6 is cut off and a filter on ports does not match. */
const SNAP_FOR_FILTERS = 128;

/** @throws RipstopError ECONFIG for options that do not fit together */
export function checkTogether({ write, rotateSize, rotateTime, keep, format, output }: CaptureOptions): void {
  const rotates = rotateSize !== undefined || rotateTime !== undefined;
  const refuse = (what: string, hint: string) => {
    throw new RipstopError('ECONFIG', what, hint);
  };
  if (rotates && (write === undefined || write === '-'))
    refuse('only files can be rotated', 'give a file with --write');
  if (keep !== undefined && !rotates) refuse('--keep without rotation', 'add --rotate-size or --rotate-time');
  if (format && write === undefined)
    refuse('--format without --write', 'give --write with a file, or - for standard output');
  if (output && write !== undefined) refuse(`--write and --output ${output}`, 'leave out one of them');
}

/** Bytes to keep of a packet, 0 for all. @param isFiltered a filter reads them */
export function snapLengthOf({ snapLength, write, past }: CaptureOptions, isFiltered: boolean): number {
  const wanted = snapLength ?? (write === undefined ? SNAP_FOR_LINES : 0);
  const snap = past !== undefined && (wanted === 0 || wanted > KEPT_SNAP) ? KEPT_SNAP : wanted;
  const enough = past === undefined ? SNAP_FOR_FILTERS : KEPT_SNAP;
  if (isFiltered && snap > 0 && snap < enough)
    note(`with a snap length below ${enough} bytes the filter may not see the headers that it needs`);
  return snap;
}

export function kindOf(path: string, { format }: CaptureOptions): 'pcapng' | 'pcap' {
  return format ?? formatOf(path);
}

/** What is captured, and how. */
export interface CaptureInput<R> extends Pick<CaptureRun<R>, 'batches' | 'decoder' | 'filter' | 'stop'> {
  readonly interfaces: readonly CaptureInterface[];
  /** Whose datagrams are decoded, undefined for none. */
  readonly overlay: CaptureContext | undefined;
  /** In words. */
  readonly what: string;
}

/** Writes the packets where the options say, and says what was captured and lost. @throws RipstopError */
export async function captureTo<R>(
  { interfaces, overlay, what, ...run }: CaptureInput<R>,
  options: CaptureOptions,
  version: string,
): Promise<void> {
  const counts = new CaptureCounts(interfaces.length);
  const order = new TimeOrder();
  const sink = await sinkOf(options, interfaces, overlay, counts, version);
  note(`capturing ${what}; times are UTC, ${clockState(native.clockError())}`);
  try {
    await runCapture({ ...run, counts, sink, order, packets: options.count });
  } finally {
    // What came before an error is kept.
    const { delivered, dropped } = counts.totals;
    note(`${delivered} packets captured, ${dropped} lost because the reader was too slow`);
    if (order.late > 0)
      note(`${order.late} packets are not in the order of their times; reordercap sorts a file`);
  }
}

async function sinkOf(
  options: CaptureOptions,
  interfaces: readonly CaptureInterface[],
  overlay: CaptureContext | undefined,
  counts: CaptureCounts,
  version: string,
): Promise<CaptureSink> {
  const { write: path, output } = options;
  if (output)
    return new LineSink(process.stdout, packet =>
      rowText(
        output,
        'ripstop-packet/1',
        packetRow(packet, elementAt(interfaces, packet.interface), overlay),
      ),
    );
  if (path === undefined) return new LineSink(process.stdout, packetLine(interfaces, overlay));
  const format = captureFormat(kindOf(path, options), interfaces, overlay, version, [
    clockState(native.clockError()),
  ]);
  const rotation = {
    ...(options.rotateSize !== undefined ? { bytes: options.rotateSize } : {}),
    ...(options.rotateTime !== undefined ? { seconds: options.rotateTime } : {}),
    ...(options.keep !== undefined ? { files: options.keep } : {}),
  };
  const sink = await openSink({ path, format, statistics: () => counts.statistics(), rotation });
  const flag = overlay && decodeAs(overlay);
  if (flag) note(`to decode the inner frames: wireshark ${flag}`);
  return sink;
}

/** How far the times of two nodes may be apart. @param error microseconds, -1 for not known */
function clockState(error: number): string {
  if (error < 0) return 'the clock is not known to be synchronised';
  return `the clock is synchronised to within ${formatLatency(error / 1000)}`;
}

export function note(text: string): void {
  process.stderr.write(`ripstop capture: ${printable(text)}\n`);
}
