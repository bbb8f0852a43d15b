import { KEPT_SNAP } from '../../dataplane/tap/kept-record.ts';
import { DROP, EGRESS_INNER, INGRESS_INNER } from '../../dataplane/tap/record-layout.ts';
import { PacketDecoder } from '../decode/packet-decoder.ts';
import { readRecordStream } from '../live/record-stream.ts';
import { CaptureCounts, runCapture } from '../run.ts';
import { FileSink } from '../sink/file-sink.ts';
import { captureFormat } from '../sink/open-sink.ts';
import { TimeOrder } from '../time-order.ts';
import type { FlightRecorder } from './flight-recorder.ts';

/** Points of a frozen recording: each frame once. A datagram that is lost before it is opened is only at `drop`. */
const POINT_NAMES = ['egress-inner', 'ingress-inner', 'drop'];
const POINTS = EGRESS_INNER | INGRESS_INNER | DROP;
/** Longest time that a recording reaches back, s. The memory of the recorder usually ends sooner. */
const PAST_SECONDS = 600;
const LOST_FRAMES = 100_000;

/** Limits and description of one recording. */
export interface RecordingOptions {
  readonly path: string;
  /** Newest frames of each worker, where the headers of all frames are recorded. */
  readonly framesPerWorker: number;
  /** For the comment of the file. */
  readonly reason: string;
}

/**
 * Writes what the flight recorder has to a pcapng file of mode 0600, which gets its name when it is complete.
 * @returns the number of packets
 * @throws RipstopError
 */
export async function writeRecording(
  recorder: FlightRecorder,
  { path, framesPerWorker, reason }: RecordingOptions,
): Promise<number> {
  const range = {
    lostFrames: LOST_FRAMES,
    framesPerWorker,
    pastSeconds: recorder.isRecording ? PAST_SECONDS : undefined,
  };
  const selection = { points: POINT_NAMES, snapLength: 0 };
  const { context, batches } = await readRecordStream(recorder.stream(range, selection));
  const decoder = new PacketDecoder(context, { points: POINTS, snapLength: KEPT_SNAP, segments: false });
  const counts = new CaptureCounts(decoder.interfaces.length);
  const format = captureFormat('pcapng', decoder.interfaces, context, 'flight recorder', [reason]);
  const sink = await FileSink.open({ path, format, statistics: () => counts.statistics() });
  await runCapture({
    ...{ batches: batches(), decoder, counts, sink, order: new TimeOrder() },
    filter: () => true,
    stop: new AbortController().signal,
  });
  return counts.totals.delivered;
}
