import { KEPT_SNAP } from '../../dataplane/tap/kept-record.ts';
import { DROP, EGRESS_INNER, INGRESS_INNER } from '../../dataplane/tap/record-layout.ts';
import { PacketDecoder } from '../decode/packet-decoder.ts';
import { readRecordStream } from '../live/record-stream.ts';
import { CaptureCounts, runCapture } from '../run.ts';
import type { FileSinkOptions } from '../sink/file-sink.ts';
import { captureFormat } from '../sink/open-sink.ts';
import type { CaptureSink } from '../sink/sink.ts';
import { TimeOrder } from '../time-order.ts';
import type { FlightRecorder } from './flight-recorder.ts';

/** Points of a recording: each frame once. A datagram that is lost before it is opened is only at `drop`. */
const POINT_NAMES = ['egress-inner', 'ingress-inner', 'drop'];
const POINTS = EGRESS_INNER | INGRESS_INNER | DROP;
/** Longest time that a recording reaches back, s. The memory of the recorder usually ends sooner. */
const PAST_SECONDS = 600;
const LOST_FRAMES = 100_000;

/** Limits and description of one recording. */
export interface RecordingOptions {
  /** Newest frames of each worker, where the headers of all frames are recorded; undefined: all. */
  readonly framesPerWorker?: number;
  /** For the comment of the file. */
  readonly reason: string;
  /** Opens the destination. A file has mode 0600 and gets its name when it is complete. */
  open(options: Pick<FileSinkOptions, 'format' | 'statistics'>): CaptureSink | Promise<CaptureSink>;
}

/**
 * Writes what the flight recorder has as pcapng.
 * @returns the number of packets
 * @throws RipstopError of the destination
 */
export async function writeRecording(
  recorder: FlightRecorder,
  { framesPerWorker, reason, open }: RecordingOptions,
): Promise<number> {
  const pastSeconds = recorder.isRecording ? PAST_SECONDS : undefined;
  const range = { lostFrames: LOST_FRAMES, framesPerWorker, pastSeconds };
  const selection = { points: POINT_NAMES, snapLength: 0 };
  const { context, batches } = await readRecordStream(recorder.stream(range, selection));
  const decoder = new PacketDecoder(context, { points: POINTS, snapLength: KEPT_SNAP, segments: false });
  const counts = new CaptureCounts(decoder.interfaces.length);
  const format = captureFormat('pcapng', decoder.interfaces, context, 'flight recorder', [reason]);
  const sink = await open({ format, statistics: () => counts.statistics() });
  await runCapture({
    ...{ batches: batches(), decoder, counts, sink, order: new TimeOrder() },
    filter: () => true,
    stop: new AbortController().signal,
  });
  return counts.totals.delivered;
}
