import { openCaptureStream } from '../../../api/client.ts';
import { hasCode, RipstopError } from '../../../base/errors.ts';
import { formatLatency } from '../../../base/text/quantity.ts';
import { PacketDecoder } from '../../../capture/decode/packet-decoder.ts';
import { createFilter } from '../../../capture/filter/filter.ts';
import { pointBits, resolveSelection, type Selection } from '../../../capture/filter/selection.ts';
import type { CaptureInterface } from '../../../capture/format/packet.ts';
import type { CaptureContext } from '../../../capture/live/context.ts';
import { readRecordStream } from '../../../capture/live/record-stream.ts';
import { CaptureCounts, runCapture } from '../../../capture/run.ts';
import { captureFormat, decodeAs, formatOf, openSink } from '../../../capture/sink/open-sink.ts';
import type { CaptureSink } from '../../../capture/sink/sink.ts';
import { TextSink } from '../../../capture/sink/text-sink.ts';
import { TimeOrder } from '../../../capture/time-order.ts';
import { POINT_NAMES } from '../../../dataplane/tap/record-layout.ts';
import { native } from '../../../native/load.ts';
import { resolvePods } from '../../pods.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { throttleUnderLoad } from './capture-throttle.ts';

export interface CaptureOptions {
  readonly write?: string;
  readonly format?: 'pcapng' | 'pcap';
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
  readonly rotateSize?: number;
  readonly rotateTime?: number;
  readonly keep?: number;
  readonly socket: string;
}

/** Bytes that hold all headers of a datagram and of its inner frame. A printed line shows no more. */
const SNAP_FOR_LINES = 256;
/** With fewer bytes, the TCP header inside VXLAN over IPv6 is cut off and a filter on ports does not match. */
const SNAP_FOR_FILTERS = 128;

/** Runs `ripstop capture` until it is stopped, a limit is reached, or the data plane ends. Throws RipstopError. */
export async function runCaptureCommand(
  given: string,
  options: CaptureOptions,
  version: string,
): Promise<void> {
  checkTogether(options);
  const { device, outer, vni, segments = false } = options;
  const snapLength = options.snapLength ?? (options.write === undefined ? SNAP_FOR_LINES : 0);
  const selection: Selection = {
    snapLength,
    points: options.point,
    verdicts: options.verdict,
    peer: options.peer,
  };
  pointBits(selection.points ?? []);
  const filter = await resolvePods(options.socket, given);
  const stop = stopOnSignal(options.duration).signal;
  const request = { ...selection, ...(device === undefined ? {} : { device }) };
  const chunks = await openCaptureStream(options.socket, request, stop);
  const { context, pods, batches } = await readRecordStream(chunks);
  const { points } = resolveSelection(selection, context);
  const isNameless = options.write !== undefined && kindOf(options.write, options) === 'pcap';
  const decoder = new PacketDecoder(context, { points, snapLength, segments, filter, isNameless, pods });
  if ((filter || outer) && snapLength > 0 && snapLength < SNAP_FOR_FILTERS)
    note(
      `with a snap length below ${SNAP_FOR_FILTERS} bytes the filter may not see the headers that it needs`,
    );
  const recordFilter = await createFilter({ inner: filter, outer, vni }, context, decoder);
  const counts = new CaptureCounts(decoder.interfaces.length);
  const order = new TimeOrder();
  const sink = await sinkOf(options, decoder.interfaces, context, counts, version);
  note(
    `capturing ${pointList(points)} of ${context.mode}${context.mode === 'vxlan' ? `, VNI ${context.vni}` : ''}; ` +
      `times are UTC, ${clockState(native.clockError())}`,
  );
  const ended = runCapture({
    batches: throttleUnderLoad(batches()),
    decoder,
    filter: recordFilter,
    counts,
    sink,
    order,
    packets: options.count,
    stop,
  });
  const noteCounts = () => {
    const { delivered, dropped } = counts.totals;
    note(`${delivered} packets captured, ${dropped} lost because the reader was too slow`);
    if (order.late > 0)
      note(`${order.late} packets are not in the order of their times; reordercap sorts a file`);
  };
  await ended.catch((error: unknown) => {
    // What came before is kept.
    if (hasCode(error, 'EAGENT')) noteCounts();
    throw error;
  });
  noteCounts();
}

function checkTogether(options: CaptureOptions): void {
  const { write, rotateSize, rotateTime, keep, format } = options;
  const rotates = rotateSize !== undefined || rotateTime !== undefined;
  const refuse = (what: string, hint: string) => {
    throw new RipstopError('ECONFIG', what, hint);
  };
  if (rotates && (write === undefined || write === '-'))
    refuse('only files can be rotated', 'give a file with --write');
  if (keep !== undefined && !rotates) refuse('--keep without rotation', 'add --rotate-size or --rotate-time');
  if (format && write === undefined)
    refuse('--format without --write', 'give --write with a file, or - for standard output');
}

async function sinkOf(
  options: CaptureOptions,
  interfaces: readonly CaptureInterface[],
  context: CaptureContext,
  counts: CaptureCounts,
  version: string,
): Promise<CaptureSink> {
  const { write: path } = options;
  if (path === undefined) return new TextSink(process.stdout, interfaces, context);
  const format = captureFormat(kindOf(path, options), interfaces, context, version, [
    clockState(native.clockError()),
  ]);
  const rotation = {
    ...(options.rotateSize !== undefined ? { bytes: options.rotateSize } : {}),
    ...(options.rotateTime !== undefined ? { seconds: options.rotateTime } : {}),
    ...(options.keep !== undefined ? { files: options.keep } : {}),
  };
  const sink = await openSink({ path, format, statistics: () => counts.statistics(), rotation });
  const flag = decodeAs(context);
  if (flag) note(`to decode the inner frames: wireshark ${flag}`);
  return sink;
}

/** How far the times of two nodes may be apart. @param error microseconds, -1 for not known */
function clockState(error: number): string {
  if (error < 0) return 'the clock is not known to be synchronised';
  return `the clock is synchronised to within ${formatLatency(error / 1000)}`;
}

function kindOf(path: string, { format }: CaptureOptions): 'pcapng' | 'pcap' {
  return format ?? formatOf(path);
}

function pointList(points: number): string {
  return POINT_NAMES.filter((_, number) => points & (1 << number)).join(', ');
}

function note(text: string): void {
  process.stderr.write(`ripstop capture: ${text}\n`);
}
